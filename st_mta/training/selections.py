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
    names, ends, shares = _table(log)
    if not names:
        return {}
    totals = _lengths(ends) @ shares / ends[-1]
    return {names[place]: float(totals[place]) for place in np.argsort(-totals, kind="stable")}


def selected_over_steps(log: Log, most_points: int = MOST_POINTS) -> SelectedOverSteps | None:
    """The same by stretches of steps, at most ``most_points`` of them; None where nothing was selected."""
    names, ends, shares = _table(log)
    if not names:
        return None
    groups = np.array_split(np.arange(len(ends)), min(most_points, len(ends)))
    starts = [int(group[0]) for group in groups]
    lengths = _lengths(ends)
    means = np.add.reduceat(lengths[:, None] * shares, starts) / np.add.reduceat(lengths, starts)[:, None]
    return {
        "steps": [int(ends[group[-1]]) for group in groups],
        "shares": {name: [round(float(share), 4) for share in means[:, place]] for place, name in enumerate(names)},
    }


def _table(log: Log) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The M names in the order of their first appearance, the (L,) last steps and the (L, M) shares of the entries."""
    rows: dict[float, dict[str, float]] = {}
    for entry in log:
        shares = {key.removeprefix(SELECTED): share for key, share in entry.items() if key.startswith(SELECTED)}
        if shares and entry["step"]:
            rows.setdefault(entry["step"], shares)  # the last step may be logged twice, the second time empty-handed
    names = list(dict.fromkeys(name for shares in rows.values() for name in shares))
    table = np.array([[shares.get(name, 0.0) for name in names] for shares in rows.values()])
    return names, np.array(list(rows), dtype=np.float64), table


def _lengths(ends: np.ndarray) -> np.ndarray:
    """(L,) steps of each entry."""
    return np.diff(ends, prepend=0.0)
