"""Quality by iteration: the student's way up, beside its teacher and assistants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression

from st_mta.report.plots.style import BLUE, INK, LABEL_SIZE, SMALL_SIZE, SOFT, canvas, grid, shortened, title
from st_mta.report.schema import Report
from st_mta.report.wording import BEFORE, WARM_UP, kept_student

LABEL_GAP = 0.062  # of the height of the axes: one line of text
MOST_VALUES = 6  # points that have room for their value and a long name


class Level(NamedTuple):
    """A value with its name at the right edge of the axes."""

    name: str
    value: float
    colour: str
    style: str
    bold: bool = False


def draw_quality(report: Report) -> Figure:
    """nDCG@10 on dev: the student before training and after every iteration, beside all other systems."""
    figure, axes = canvas(width=8.4, height=4.4, margins=(0.7, 2.3, 0.55, 0.6))
    names, values = _student_curve(report)
    best = _index_of_best(report, names, values)
    levels = _levels(report)
    grid(axes)
    for level in levels:
        axes.axhline(level.value, color=level.colour, linestyle=level.style, linewidth=1.3, zorder=1)
    _zoom(axes, [*values, *(level.value for level in levels)])
    axes.set_xlim(-0.3, len(names) - 0.7)
    _draw_student(axes, values, best)
    _label_levels(axes, [*levels, Level("student, final", values[best], BLUE, "-", bold=True)])
    _label_steps(axes, names)
    title(axes, f"nDCG@10 on the development queries of {shortened(report['collection']['name'], 40)}")
    return figure


def _student_curve(report: Report) -> tuple[list[str], list[float]]:
    points = [(str(entry["iteration"]), entry["dev"]["ndcg@10"]) for entry in report["iterations"]]
    if report["warm_up"] is not None:
        points.insert(0, ("warm-up", report["warm_up"]["dev_ndcg@10"]))
    if "student_before" in report["development"]:
        points.insert(0, ("before", report["development"]["student_before"]))
    return [name for name, _ in points], [value for _, value in points]


def _index_of_best(report: Report, names: Sequence[str], values: Sequence[float]) -> int:
    """The point of the student that was kept."""
    kept = kept_student(report)
    name = "before" if kept == BEFORE else kept if kept == WARM_UP else str(report["best_iteration"])
    return names.index(name) if name in names else int(np.argmax(values))


def _label_steps(axes: Axes, names: Sequence[str]) -> None:
    """Names under the points; where many share the axis, bare numbers with the word below them."""
    crowded = len(names) > MOST_VALUES
    words = {"warm-up": "\nwarm-up"} if crowded else {}
    labels = [f"iteration {name}" if name.isdigit() and not crowded else words.get(name, name) for name in names]
    axes.set_xticks(range(len(names)), labels)
    if crowded:
        axes.set_xlabel("iteration", color=SOFT, fontsize=LABEL_SIZE, labelpad=-10)


def _levels(report: Report) -> list[Level]:
    special = {report["teacher"]["name"]: ("teacher", INK, "-"), "student_before": ("student, before", BLUE, ":")}
    looks = [(*special.get(name, (name, SOFT, "--")), value) for name, value in report["development"].items()]
    return [Level(name, value, colour, line) for name, colour, line, value in looks]


def _zoom(axes: Axes, values: Sequence[float]) -> None:
    """Limits around the data: the differences matter here, not the distance to zero."""
    low, high = min(values), max(values)
    margin = 0.1 * (high - low) or 0.05
    axes.set_ylim(low - margin, high + margin)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_student(axes: Axes, values: Sequence[float], best: int) -> None:
    """The curve with its values; a ring around the iteration that was kept, tied to its label."""
    axes.plot(range(len(values)), values, color=BLUE, linewidth=2.4, marker="o", markersize=6, zorder=3)
    axes.plot(best, values[best], "o", markersize=12, mfc="none", markeredgecolor=BLUE, markeredgewidth=1.6, zorder=4)
    axes.hlines(values[best], best, axes.get_xlim()[1], color=BLUE, linewidth=0.9, linestyle=(0, (1, 1.5)), zorder=2)
    if len(values) > MOST_VALUES:
        return
    for step, value in enumerate(values):
        if step not in (0, best):  # these two stand at the right edge
            last = step == len(values) - 1
            # On white, so that no other line strikes it through.
            axes.annotate(
                f"{value:.3f}", (step, value), xytext=(0 if last else 7, -16 if last else -13), color=BLUE,
                textcoords="offset points", ha="center" if last else "left", fontsize=SMALL_SIZE, zorder=5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


def _label_levels(axes: Axes, levels: Sequence[Level]) -> None:
    """Values and names right of the axes, moved apart where they would overlap, tied to their line."""
    ordered = sorted(levels, key=lambda level: level.value)
    bottom, top = axes.get_ylim()
    heights = np.array([(level.value - bottom) / (top - bottom) for level in ordered])
    for level, at, label_at in zip(ordered, heights, spread(heights, LABEL_GAP)):
        axes.plot(
            [1.0, 1.03], [at, label_at], transform=axes.transAxes, color=level.colour, linewidth=1.0, clip_on=False
        )
        axes.text(
            1.04, label_at, f"{level.value:.3f}  {shortened(level.name, 20)}", transform=axes.transAxes, va="center",
            color=level.colour, fontsize=LABEL_SIZE, fontweight="bold" if level.bold else "normal",
        )  # fmt: skip


def spread(wanted: npt.NDArray[np.float64], gap: float) -> npt.NDArray[np.float64]:
    """Positions at least ``gap`` apart and, by least squares, as close as possible to the wanted ones.

    Args:
        wanted: (n,) positions, sorted upwards.
        gap: Least distance between neighbours.
    """
    offsets = gap * np.arange(len(wanted))
    # Without the gaps, "at least a gap apart" reads "not falling".
    spaced: npt.NDArray[np.float64] = isotonic_regression(wanted - offsets).x + offsets
    return spaced
