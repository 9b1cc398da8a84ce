"""The figures of the page, each under the name by which the template calls it."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import Markup
from matplotlib.figure import Figure

from st_mta.report.html.svg import inline_svg
from st_mta.report.plots.differences import draw_differences
from st_mta.report.plots.filter import draw_filter_rate
from st_mta.report.plots.quality import draw_quality
from st_mta.report.plots.scores import draw_scores
from st_mta.report.plots.selection import draw_selection
from st_mta.report.schema import Report
from st_mta.report.wording import baseline_in_words


def figures(report: Report) -> dict[str, Markup]:
    """Name -> SVG, of what the report has."""
    return {name: inline_svg(figure, name, label) for name, figure, label in _drawn(report)}


def _drawn(report: Report) -> Iterator[tuple[str, Figure, str]]:
    yield "quality", draw_quality(report), "nDCG@10 on the development queries by iteration, with the table below it"
    if any(entry["selected"] for entry in report["iterations"]):
        yield "selection", draw_selection(report), "Share of the training for which each assistant was selected"
    for comparison in report.get("comparisons", []):
        label = f"Sorted differences in nDCG@10 to {baseline_in_words(comparison['baseline'])}"
        yield f"against-{comparison['baseline']}", draw_differences(comparison), label
    if distributions := report.get("score_distributions"):
        yield "scores", draw_scores(distributions), "Histogram of every scorer's scores by iteration"
    if filtered := [entry for entry in report["iterations"] if "filter_rate" in entry]:
        yield "filter", draw_filter_rate(filtered), "Share of dropped candidates by iteration"
