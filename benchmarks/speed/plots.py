"""What st_mta takes of the stock pipeline's time, as bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.speed.configuration import STATIONS
from benchmarks.speed.summary import GOALS, WHOLE
from st_mta.report.plots.style import INK, PALETTE, SMALL_SIZE, axis_labels, canvas, grid, save, title

SHOWN = (*STATIONS, WHOLE)
WIDTH, HEIGHT, MARGINS = 8.4, 4.2, (0.8, 0.3, 1.0, 0.6)  # inches


def plot_ratios(result: dict[str, Any], path: Path) -> None:
    """A group of bars per station, a bar per precision and number of threads; goals as short lines over their bars."""
    arms = [
        (precision, threads, ratios)
        for threads, measured in result["threads"].items()
        for precision, ratios in measured["ratio"].items()
    ]
    figure, axes = canvas(WIDTH, HEIGHT, MARGINS)
    grid(axes)
    bar = 0.8 / len(arms)
    for number, (precision, threads, ratios) in enumerate(arms):
        places = np.arange(len(SHOWN)) + (number - (len(arms) - 1) / 2) * bar
        heights = [ratios[station]["wall"] for station in SHOWN]
        label = f"{precision}, {threads} thread{'s' if threads != '1' else ''}"
        axes.bar(places, heights, 0.92 * bar, color=PALETTE[number % len(PALETTE)], label=label)
        for place, station in zip(places, SHOWN):
            if (goal := GOALS[precision].get(station)) is not None:
                axes.plot([place - bar / 2, place + bar / 2], [goal, goal], color=INK, linewidth=1.4)
    axes.axhline(1, color=INK, linewidth=0.8)
    axes.set_xticks(range(len(SHOWN)), list(SHOWN), color=INK)
    axis_labels(axes, y="share of the stock pipeline's seconds")
    title(axes, "st_mta beside the stock pipeline in its quicker precision (dark lines: goals)")
    figure.legend(loc="lower center", ncols=len(arms), frameon=False, fontsize=SMALL_SIZE)
    save(figure, path)
