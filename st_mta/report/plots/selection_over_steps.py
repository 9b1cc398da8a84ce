"""Which assistant was selected when: stacked areas over the steps of all iterations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes

from st_mta.report.plots.style import PALETTE, SMALL_SIZE, SOFT
from st_mta.report.schema import Iteration

ShareOf = Callable[[str, dict[str, float]], float]
"""``(name as drawn, shares by assistant) -> share``."""


def has_course(iterations: Sequence[Iteration]) -> bool:
    """Whether the iterations say more than one share per assistant; reports of older runs do not."""
    courses = [entry.get("selected_over_steps") for entry in iterations]
    return any(course and len(course["steps"]) > 1 for course in courses)


def draw_over_steps(axes: Axes, iterations: Sequence[Iteration], names: Sequence[str], share_of: ShareOf) -> None:
    """One block of stacked areas per iteration, one behind the other.

    Args:
        axes: To draw on.
        iterations: Those of a report.
        names: As in the bars, in the order of the colours.
        share_of: Their shares.
    """
    start = 0
    for entry in iterations:
        course = entry.get("selected_over_steps")
        if not course:
            continue
        steps = np.array([0, *course["steps"]])
        at = [dict(zip(course["shares"], column)) for column in zip(*course["shares"].values())]
        shares = np.array([[share_of(name, selected) for selected in at] for name in names])
        # A share belongs to the stretch that ends at its step.
        axes.stackplot(
            start + steps, np.column_stack([shares[:, :1], shares]), colors=PALETTE[: len(names)], step="pre",
            edgecolor="none", linewidth=0,
        )  # fmt: skip
        _mark(axes, entry["iteration"], start, start + int(steps[-1]))
        start += int(steps[-1])
    axes.set_xlim(0, start)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_xlabel("training steps", fontsize=SMALL_SIZE, color=SOFT)


def _mark(axes: Axes, iteration: int, start: int, end: int) -> None:
    """A white line where an iteration begins, and its number above its block."""
    if start:
        axes.axvline(start, color="white", linewidth=2.5)
    axes.text(
        (start + end) / 2, 1.03, f"iteration {iteration}", ha="center", va="bottom", fontsize=SMALL_SIZE, color=SOFT
    )
