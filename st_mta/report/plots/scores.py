"""How every scorer's scores lie, by iteration: ridges of all candidates and of the relevant ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from st_mta.report.plots.style import INK, LABEL_SIZE, RED, SKY, SMALL_SIZE, bare, figure_of, legend, shortened
from st_mta.report.schema import IterationScores, ScoreDistribution

WIDTH, LEFT, RIGHT, GAP = 8.4, 0.85, 0.2, 0.35  # inches
TOP, BOTTOM, HEADING, TICKS = 0.1, 0.35, 0.35, 0.35
RIDGE_HEIGHT, LEAST_HEIGHT = 0.42, 0.9
COLUMNS = 3


def draw_scores(iterations: Sequence[IterationScores]) -> Figure:
    """One panel per scorer with one ridge per iteration, the first on top; every ridge has its own height."""
    names = list(dict.fromkeys(part["scorer"] for entry in iterations for part in entry["distributions"]))
    columns = min(COLUMNS, max(1, len(names)))
    lines = -(-len(names) // columns)
    panel = max(LEAST_HEIGHT, RIDGE_HEIGHT * len(iterations))
    height = TOP + BOTTOM + lines * (HEADING + panel + TICKS)
    width = (WIDTH - LEFT - RIGHT - GAP * (columns - 1)) / columns
    figure = figure_of(WIDTH, height)
    for number, name in enumerate(names):
        line, column = divmod(number, columns)
        left, top = LEFT + column * (width + GAP), height - TOP - line * (HEADING + panel + TICKS) - HEADING
        axes = bare(figure.add_axes((left / WIDTH, (top - panel) / height, width / WIDTH, panel / height)))
        _draw_panel(axes, name, iterations, named=column == 0)
    handles = [
        Patch(color=SKY, alpha=0.75, linewidth=0, label="all candidates, a tick at their median"),
        Line2D([], [], color=RED, linewidth=1.4, label="relevant ones, scaled to the same height"),
    ]
    legend(figure, handles, LEFT / WIDTH, ncols=2, handlelength=1.1, borderaxespad=0.3)
    return figure


def _draw_panel(axes: Axes, name: str, iterations: Sequence[IterationScores], named: bool) -> None:
    for row, entry in enumerate(iterations):
        for distribution in entry["distributions"]:
            if distribution["scorer"] == name:
                _draw_ridge(axes, distribution, -float(row))
    axes.set_ylim(0.95 - len(iterations), 1.0)
    labels = [f"iteration {entry['iteration']}" for entry in iterations] if named else []
    axes.set_yticks([0.3 - row for row in range(len(labels))], labels, fontsize=SMALL_SIZE)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=SMALL_SIZE)
    axes.set_title(shortened(name, 28), loc="left", fontsize=LABEL_SIZE, color=INK, pad=6)


def _draw_ridge(axes: Axes, distribution: ScoreDistribution, bottom: float) -> None:
    edges = np.linspace(distribution["low"], distribution["high"], len(distribution["counts"]) + 1)
    everything, relevant = (
        bottom + 0.88 * np.array(counts) / max(1, *counts)
        for counts in (distribution["counts"], distribution["positives"])
    )
    axes.stairs(everything, edges, baseline=bottom, fill=True, color=SKY, alpha=0.75, linewidth=0, zorder=2)
    axes.stairs(relevant, edges, baseline=bottom, color=RED, linewidth=1.1, zorder=3)
    axes.vlines(distribution["quantiles"]["0.5"], bottom, bottom + 0.3, color=INK, linewidth=1.6, zorder=4)
