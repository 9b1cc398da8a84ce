"""The page: a report's rows, sentences and figures put into the template."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from st_mta.report import tables, wording
from st_mta.report.html.examples import Examples
from st_mta.report.html.svg import inline_svg
from st_mta.report.plots import drawn
from st_mta.report.schema import Report
from st_mta.types import Collection


def html_page(report: Report, student_path: str, collection: Collection | None = None, remark: str = "") -> str:
    """The report as HTML; style and plots are inside.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
        collection: For the texts of queries and passages; without it the page shows ids.
        remark: What the reader should know of missing texts or comparisons.
    """
    shown = Examples(report, collection)
    return (
        _environment()
        .get_template("page.html")
        .render(
            **_result(report),
            **_iterations(report),
            comparisons=[
                {
                    "baseline": wording.baseline_in_words(comparison["baseline"]),
                    "sentence": f"{wording.wins_and_losses(comparison)} in nDCG@10.",
                    "figure": f"against-{comparison['baseline']}",
                    "wins": shown.of(comparison, "largest_wins"),
                    "losses": shown.of(comparison, "largest_losses"),
                }
                for comparison in report.get("comparisons", [])
            ],
            remark=remark,
            quantiles=tables.quantile_rows(report.get("score_distributions", [])),
            serving=tables.serving_rows(report.get("serving", [])),
            reuse=tables.reuse_rows(report["compute"]),
            training=wording.training_sentence(report["compute"]),
            stages=tables.stage_rows(report["compute"]),
            conditions=wording.conditions(report),
            code=wording.loading_code(student_path),
            figures={name: inline_svg(figure, name, label) for name, figure, label in drawn(report)},
            taught=any(entry["selected"] for entry in report["iterations"]),
        )
    )


def _result(report: Report) -> dict[str, Any]:
    return {
        "collection": report["collection"],
        "verdict": wording.verdict(report),
        "headline": tables.headline(report),
        "data": wording.data_sentence(report),
        "systems": tables.summary_table(report),
        "significance": wording.significance_sentence(report["significance"]),
    }


def _iterations(report: Report) -> dict[str, Any]:
    numbers = [entry["iteration"] for entry in report["iterations"]]
    return {
        "iterations": tables.iteration_rows(report, mark=""),
        "best_row": numbers.index(report["best_iteration"]) if report["best_iteration"] in numbers else -1,
        "best": wording.best_sentence(report),
        "imitation": wording.imitation_sentence(report),
        "warm_up": wording.warm_up_sentence(report),
    }


@cache
def _environment() -> Environment:
    """Everything put into the page is escaped, except the figures, which are markup already."""
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["numeric"] = tables.is_numeric
    return environment
