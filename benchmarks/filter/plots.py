"""Precision against recall of all rules, and both over the margin, a row per collection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from benchmarks.filter.rules import RANDOM, RELATIVE
from st_mta.report.plots.style import (
    FAINT,
    INK,
    LABEL_SIZE,
    PALETTE,
    SMALL_SIZE,
    SOFT,
    bare,
    figure_of,
    save,
    title,
)

ROW, WIDTH, TOP, BOTTOM = 3.6, 11.0, 0.5, 1.7  # inches
SHOWN = (-0.3, 0.5)
"""Relative margins worth a look."""


def plot_rules(result: dict[str, Any], path: Path) -> None:
    """Left: precision against recall by guide and rule. Right: precision and recall over the relative margin."""
    collections = result["collections"]
    figure = figure_of(WIDTH, ROW * len(collections) + TOP + BOTTOM)
    grid = figure.subplots(len(collections), 2, squeeze=False)
    height = figure.get_figheight()
    figure.subplots_adjust(0.07, BOTTOM / height, 0.98, 1 - TOP / height, wspace=0.16, hspace=0.55)
    for (left, right), (name, entry) in zip(grid, collections.items()):
        _precision_recall(bare(left), name, entry)
        _over_margin(bare(right), entry)
    lines, labels = grid[0][0].get_legend_handles_labels()
    more = grid[0][1].get_legend_handles_labels()
    figure.legend(lines + more[0], labels + more[1], loc="lower center", ncols=3, frameon=False, fontsize=SMALL_SIZE)
    save(figure, path)


def _precision_recall(axes: Axes, name: str, entry: dict[str, Any]) -> None:
    number = 0
    for guide, rules in entry["guides"].items():
        for rule, measured in rules.items():
            points = [point for point in measured["curve"] if point["precision"] is not None]
            recall, precision = ([point[key] for point in points] for key in ("recall", "precision"))
            label = rule if rule == RANDOM else f"{rule} ({guide})"
            colour = SOFT if rule == RANDOM else PALETTE[number % len(PALETTE)]
            axes.plot(recall, precision, color=colour, linewidth=1.8, label=label)
            number += rule != RANDOM
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xlabel("recall of the hidden positives", color=SOFT, fontsize=LABEL_SIZE)
    axes.set_ylabel("precision", color=SOFT, fontsize=LABEL_SIZE)
    title(axes, f"{name}: {entry['hidden']} hidden positives")


def _over_margin(axes: Axes, entry: dict[str, Any]) -> None:
    for colour, (guide, rules) in zip(PALETTE, entry["guides"].items()):
        points = [point for point in rules[RELATIVE]["curve"] if SHOWN[0] <= point["margin"] <= SHOWN[1]]
        for key, style in (("precision", "-"), ("recall", "--")):
            pairs = [(point["margin"], point[key]) for point in points if point[key] is not None]
            if pairs:
                axes.plot(*zip(*pairs), style, color=colour, linewidth=1.8, label=f"{key} ({guide})")
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.grid(color=FAINT, linewidth=0.6)
    axes.set_xlim(*SHOWN)
    axes.set_ylim(0, 1)
    axes.set_xlabel("relative margin", color=SOFT, fontsize=LABEL_SIZE)
    title(axes, "over the margin")
