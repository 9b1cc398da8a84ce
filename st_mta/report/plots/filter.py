"""How many candidates were dropped as likely false negatives: one bar per iteration that has a rate."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure

from st_mta.report.plots.style import BLUE, INK, LABEL_SIZE, canvas, rows_of, title
from st_mta.report.schema import Iteration

BAR_HEIGHT, TOP, BOTTOM = 0.42, 0.6, 0.15  # inches


def draw_filter_rate(iterations: Sequence[Iteration]) -> Figure:
    """Share of the mined candidates that the filter dropped, of iterations with a ``filter_rate``."""
    rates = [entry["filter_rate"] for entry in iterations]
    figure, axes = canvas(8.4, TOP + BOTTOM + BAR_HEIGHT * len(rates), (1.0, 0.8, BOTTOM, TOP))
    bars = axes.barh(range(len(rates)), rates, height=0.6, color=BLUE)
    axes.bar_label(bars, [f"{rate:.1%}" for rate in rates], padding=5, color=INK, fontsize=LABEL_SIZE)
    rows_of(axes, iterations)
    axes.set_xlim(0, max(rates) or 1.0)
    title(axes, "Candidates dropped as likely false negatives")
    return figure
