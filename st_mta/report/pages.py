"""The pages: a report's rows, sentences and figures put into the templates of ``report.md`` and ``report.html``."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from st_mta.report import tables, wording
from st_mta.report.examples import Examples
from st_mta.report.markdown import values_in_markdown
from st_mta.report.plots import drawn
from st_mta.report.plots.svg import inline_svg
from st_mta.report.schema import Report
from st_mta.types import Collection


def markdown_page(report: Report, student_path: str) -> str:
    """The report as Markdown; plots are expected in ``plots/`` beside it.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
    """
    inert: Any = values_in_markdown(report)
    return _environment().get_template("report.md").render(_facts(inert, student_path))


def html_page(report: Report, student_path: str, collection: Collection | None = None, remark: str = "") -> str:
    """The report as HTML; style and plots are inside.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
        collection: For the texts of queries and passages; without it the page shows ids.
        remark: What the reader should know of missing texts or comparisons.
    """
    facts, shown = _facts(report, student_path), Examples(report, collection)
    for entry, comparison in zip(facts["comparisons"], report.get("comparisons", [])):
        entry |= shown.of(comparison)
    figures = {name: inline_svg(figure, name, label) for name, figure, label in drawn(report)}
    return _environment().get_template("page.html").render(facts, remark=remark, figures=figures)


def _facts(report: Report, student_path: str) -> dict[str, Any]:
    """What the templates show, by the names they use."""
    compute = report["compute"]
    return {
        "collection": report["collection"],
        "notice": wording.notice(report),
        "quality": wording.quality_sentence(report),
        "headline": tables.headline(report),
        "data": wording.data_sentence(report),
        "systems": tables.summary_table(report),
        "recovered": wording.recovered(report),
        "significance": wording.significance_sentence(report["significance"]),
        "code": wording.loading_code(student_path, report["student"]["kind"]),
        "iterations": tables.iteration_rows(report),
        "best_row": tables.best_row(report),
        "best": wording.best_sentence(report),
        "imitation": wording.imitation_sentence(report),
        "taught": any(entry["selected"] for entry in report["iterations"]),
        "warm_up": wording.warm_up_sentence(report),
        "comparisons": [
            {
                "name": f"against-{comparison['baseline']}",
                "baseline": wording.baseline_in_words(comparison["baseline"]),
                "sentence": f"{wording.wins_and_losses(comparison)} in nDCG@10.",
            }
            for comparison in report.get("comparisons", [])
        ],
        "quantiles": tables.quantile_rows(report.get("score_distributions", [])),
        "serving": tables.serving_rows(report.get("serving", [])),
        "reuse": tables.reuse_rows(compute),
        "training": wording.training_sentence(compute),
        "stages": tables.stage_rows(compute),
        "conditions": wording.conditions(report),
    }


@cache
def _environment() -> Environment:
    """What is put into HTML is escaped, except the figures, which are markup already."""
    environment = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.tests["numeric"] = tables.is_numeric
    environment.filters["table"] = tables.markdown_table
    return environment
