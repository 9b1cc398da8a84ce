"""Wins and losses: the difference in nDCG@10 on every query, sorted."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from st_mta.report.plots.style import BLUE, LABEL_SIZE, RED, SOFT, axis_labels, canvas, grid, title
from st_mta.report.schema import Comparison
from st_mta.report.wording import baseline_in_words


def draw_differences(comparison: Comparison) -> Figure:
    """One step per query from the largest win to the largest loss of the student."""
    figure, axes = canvas(width=8.4, height=2.9, margins=(0.7, 0.3, 0.6, 0.6))
    differences = np.array(comparison["differences"])
    num_queries = comparison["wins"] + comparison["losses"] + comparison["ties"]
    edges = np.linspace(0, num_queries, len(differences) + 1)
    grid(axes)
    axes.stairs(differences.clip(min=0), edges, fill=True, color=BLUE, linewidth=0)
    axes.stairs(differences.clip(max=0), edges, fill=True, color=RED, linewidth=0)
    axes.axhline(0, color=SOFT, linewidth=0.8)
    reach = 1.08 * float(np.abs(differences).max(initial=0.05))
    axes.set_xlim(0, num_queries)
    axes.set_ylim(-reach, reach)
    axes.spines["bottom"].set_visible(False)
    axis_labels(axes, "queries, from the largest win to the largest loss")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:+.2g}".replace("-", "−") if value else "0")
    # Wins above the axis where the curve has left it, losses below.
    bold: dict[str, Any] = {"transform": axes.transAxes, "fontsize": LABEL_SIZE, "fontweight": "bold"}
    axes.text(0.99, 0.93, f"{comparison['wins']:,} queries better", va="top", ha="right", color=BLUE, **bold)
    axes.text(0.01, 0.07, f"{comparison['losses']:,} worse", va="bottom", ha="left", color=RED, **bold)
    title(axes, f"Difference in nDCG@10 to {baseline_in_words(comparison['baseline'])}")
    return figure
