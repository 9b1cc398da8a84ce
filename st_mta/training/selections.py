"""Which assistant was selected how often, from the log of a training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from st_mta.report.schema import SelectedOverSteps

SELECTED = "selected/"
"""Prefix of the log entries with the share of queries for which an assistant was selected."""
MOST_POINTS = 40
"""Stretches of steps that a report keeps of an iteration: a plot shows no more."""

Log = Sequence[dict[str, float]]


def selected_shares(log: Log) -> dict[str, float]:
    """Mean share of each assistant over the logged steps, largest first.

    Args:
        log: Entries with "step" and "selected/<assistant>", the share since the entry before.
    """
    names, _, shares = _stretches(log, 1)
    return dict(sorted(zip(names, *shares.tolist()), key=lambda named: -named[1])) if names else {}


def selected_over_steps(log: Log, most_points: int = MOST_POINTS) -> SelectedOverSteps | None:
    """The same by stretches of steps, at most ``most_points`` of them; None where nothing was selected."""
    names, ends, shares = _stretches(log, most_points)
    by_name = {name: [round(share, 4) for share in course] for name, course in zip(names, shares.T.tolist())}
    return {"steps": ends, "shares": by_name} if names else None


def _stretches(log: Log, most: int) -> tuple[list[str], list[int], np.ndarray]:
    """The M names in the order of their first appearance, the L last steps and the (L, M) mean shares."""
    rows: dict[float, dict[str, float]] = {}
    for entry in log:
        shares = {key.removeprefix(SELECTED): share for key, share in entry.items() if key.startswith(SELECTED)}
        if shares and entry["step"]:
            rows.setdefault(entry["step"], shares)  # the last step may be logged twice, the second time without shares
    if not rows:
        return [], [], np.zeros((0, 0))
    names = list(dict.fromkeys(name for shares in rows.values() for name in shares))
    table = np.array([[shares.get(name, 0.0) for name in names] for shares in rows.values()])
    ends = np.array(list(rows), dtype=np.float64)
    lengths = np.diff(ends, prepend=0.0)[:, None]
    groups = np.array_split(np.arange(len(ends)), min(most, len(ends)))
    starts = [int(group[0]) for group in groups]
    means = np.add.reduceat(lengths * table, starts) / np.add.reduceat(lengths, starts)
    return names, [int(ends[group[-1]]) for group in groups], means
