"""Which assistant, plain or fused, was selected how often: one bar per iteration, and over the steps of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from st_mta.report.plots import style
from st_mta.report.plots.style import LIGHT, ON_LIGHT, PALETTE, SMALL_SIZE, SOFT, shortened
from st_mta.report.schema import Iteration, Report

WIDTH, LEFT, RIGHT, TOP = 8.4, 1.0, 0.3, 0.6  # inches
BAR_HEIGHT, LEGEND_HEIGHT, LEGEND_COLUMNS = 0.55, 0.24, 4
COURSE_HEIGHT, COURSE_TOP, COURSE_BOTTOM = 1.4, 0.45, 0.5  # of the areas below the bars
INCHES_PER_CHARACTER = 0.085
OTHERS = "others"


def draw_selection(report: Report) -> Figure:
    """Share of the training for which each (fused) assistant was the one selected, by iteration and step."""
    iterations = report["iterations"]
    names = most_used([entry["selected"] for entry in iterations])
    shares = np.array([[_share(name, entry["selected"], names) for name in names] for entry in iterations])
    labels = [[_label(name, share) for name, share in zip(names, row)] for row in shares]
    unnamed = [
        index for index, name in enumerate(names) if not any(shortened(name, 40) in row[index] for row in labels)
    ]
    bottom = 0.2 + LEGEND_HEIGHT * -(-len(unnamed) // LEGEND_COLUMNS)
    below = COURSE_TOP + COURSE_HEIGHT + COURSE_BOTTOM if _has_course(iterations) else 0.0
    height = TOP + BAR_HEIGHT * len(iterations) + below + bottom
    figure, axes = style.canvas(WIDTH, height, (LEFT, RIGHT, bottom + below, TOP))
    _draw_bars(axes, names, shares, labels)
    style.rows_of(axes, iterations)
    axes.set_xlim(0, 1)
    style.title(axes, "How often each assistant was selected")
    if unnamed:
        handles = [axes.get_legend_handles_labels()[0][index] for index in unnamed]
        columns = min(len(unnamed), LEGEND_COLUMNS)
        style.legend(figure, handles, LEFT / WIDTH, ncols=columns, handlelength=0.9, columnspacing=1.6)
    if below:
        box = (LEFT / WIDTH, (bottom + COURSE_BOTTOM) / height, 1 - (LEFT + RIGHT) / WIDTH, COURSE_HEIGHT / height)
        _draw_over_steps(style.bare(figure.add_axes(box)), iterations, names)
    return figure


def most_used(selections: Sequence[dict[str, float]]) -> list[str]:
    """Names by total share, as many as there are colours; what is left goes under "others"."""
    totals: Counter[str] = Counter()
    for selected in selections:
        totals.update(selected)
    names = [name for name, total in totals.most_common() if total > 0]
    return names if len(names) <= len(PALETTE) else [*names[: len(PALETTE) - 1], OTHERS]


def _share(name: str, selected: dict[str, float], shown: Sequence[str]) -> float:
    if name == OTHERS and name not in selected:
        return sum(share for other, share in selected.items() if other not in shown)
    return selected.get(name, 0.0)


def _label(name: str, share: float) -> str:
    """Name and share, the share alone, or nothing: as much as the segment has room for."""
    room = share * (WIDTH - LEFT - RIGHT) / INCHES_PER_CHARACTER
    texts = (f"{shortened(name, 40)}  {share:.0%}", f"{share:.0%}")
    return next((text for text in texts if len(text) + 1 <= room), "")


def _draw_bars(axes: Axes, names: Sequence[str], shares: npt.NDArray[np.float64], labels: list[list[str]]) -> None:
    """(iterations, names) shares as stacked bars with their labels."""
    starts = np.cumsum(shares, axis=1) - shares
    for column, (name, colour) in enumerate(zip(names, PALETTE)):
        bars = axes.barh(
            range(len(shares)), shares[:, column], left=starts[:, column], height=0.72, color=colour,
            edgecolor="white", linewidth=1.2, label=_legend_label(name),
        )  # fmt: skip
        axes.bar_label(
            bars, [row[column] for row in labels], label_type="center", fontsize=SMALL_SIZE,
            color=ON_LIGHT if colour in LIGHT else "white",
        )  # fmt: skip


def _legend_label(name: str) -> str:
    """The name; matplotlib leaves labels that begin with an underscore out of legends."""
    label = shortened(name, 40)
    return f" {label}" if label.startswith("_") else label


def _has_course(iterations: Sequence[Iteration]) -> bool:
    """Whether the iterations say more than one share per assistant; reports of older runs do not."""
    courses = [entry.get("selected_over_steps") for entry in iterations]
    return any(course and len(course["steps"]) > 1 for course in courses)


def _draw_over_steps(axes: Axes, iterations: Sequence[Iteration], names: Sequence[str]) -> None:
    """One block of stacked areas per iteration, one behind the other, in the colours of the bars."""
    start = 0
    for entry in iterations:
        course = entry.get("selected_over_steps")
        if not course:
            continue
        steps = np.array([0, *course["steps"]])
        at = [dict(zip(course["shares"], column)) for column in zip(*course["shares"].values())]
        shares = np.array([[_share(name, selected, names) for selected in at] for name in names])
        # A share belongs to the stretch that ends at its step.
        axes.stackplot(
            start + steps, np.column_stack([shares[:, :1], shares]), colors=PALETTE[: len(names)], step="pre",
            edgecolor="none", linewidth=0,
        )  # fmt: skip
        if start:
            axes.axvline(start, color="white", linewidth=2.5)
        middle, start = start + int(steps[-1]) / 2, start + int(steps[-1])
        axes.text(
            middle, 1.03, f"iteration {entry['iteration']}", ha="center", va="bottom", fontsize=SMALL_SIZE, color=SOFT
        )
    axes.set_xlim(0, start)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0%", "50%", "100%"])
    axes.set_xlabel("training steps", fontsize=SMALL_SIZE, color=SOFT)
