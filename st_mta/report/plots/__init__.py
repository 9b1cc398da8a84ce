"""The figures of a distillation, each under the name of its file and of its place on the page."""

from __future__ import annotations

from collections.abc import Iterator

from matplotlib.figure import Figure

from st_mta.report.plots.differences import draw_differences
from st_mta.report.plots.filter import draw_filter_rate
from st_mta.report.plots.quality import draw_quality
from st_mta.report.plots.scores import draw_scores
from st_mta.report.plots.selection import draw_selection
from st_mta.report.schema import Report
from st_mta.report.wording import baseline_in_words


def drawn(report: Report) -> Iterator[tuple[str, Figure, str]]:
    """Name, figure, and what a reader who cannot see it is told, of what the report has."""
    yield "quality", draw_quality(report), "nDCG@10 on the development queries by iteration, with the table below it"
    yield "selection", draw_selection(report), "Share of the training for which each assistant was selected"
    for comparison in report.get("comparisons", []):
        label = f"Sorted differences in nDCG@10 to {baseline_in_words(comparison['baseline'])}"
        yield f"against-{comparison['baseline']}", draw_differences(comparison), label
    if distributions := report.get("score_distributions"):
        yield "scores", draw_scores(distributions), "Histogram of every scorer's scores by iteration"
    if filtered := [entry for entry in report["iterations"] if "filter_rate" in entry]:
        yield "filter", draw_filter_rate(filtered), "Share of dropped candidates by iteration"
