"""The text of ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator

from st_mta.report.schema import Report
from st_mta.report.tables import (
    bold,
    iteration_rows,
    markdown_table,
    reuse_rows,
    serving_rows,
    station_rows,
    summary_table,
)
from st_mta.report.wording import (
    baseline_in_words,
    best_sentence,
    comparison_sentence,
    conditions,
    data_sentence,
    imitation_sentence,
    loading_code,
    notice,
    quality_sentence,
    recovered,
    significance_sentence,
    training_sentence,
    warm_up_sentence,
)


def page(report: Report, student_path: str) -> str:
    """The report as Markdown; plots are expected in ``plots/`` beside it.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
    """
    return "\n".join(part.rstrip("\n") + "\n" for part in _parts(report, student_path))


def _parts(report: Report, student_path: str) -> Iterator[str]:
    *systems, student = summary_table(report)
    if said := notice(report):
        yield f"**{said}**"
    yield f"# Distillation on {report['collection']['name']}"
    yield f"**{quality_sentence(report)}**"
    yield data_sentence(report)
    yield markdown_table([*systems, bold(student)])
    yield f"Recovered: {recovered(report)} of the teacher. {significance_sentence(report['significance'])}"
    yield "![nDCG@10 on the development queries by iteration](plots/quality.png)"
    yield "## Use it"
    yield f"```python\n{loading_code(student_path)}\n```"
    yield "## Iterations"
    if sentence := warm_up_sentence(report):
        yield sentence
    yield markdown_table(iteration_rows(report))
    yield best_sentence(report)
    yield "![How often each assistant was selected, by iteration](plots/selection.png)"
    if sentence := imitation_sentence(report):
        yield sentence
    yield from _optional(report)
    yield "## Compute"
    yield markdown_table(reuse_rows(report["compute"]))
    yield training_sentence(report["compute"])
    yield markdown_table(station_rows(report["compute"]))
    yield "## Conditions"
    yield "\n".join(f"- {name}: {value}" for name, value in conditions(report))
    if report["collection"]["notes"]:
        yield "## Notes"
        yield "\n".join(f"- {note}" for note in report["collection"]["notes"])


def _optional(report: Report) -> Iterator[str]:
    """What only some reports have."""
    if report.get("comparisons"):
        yield "## Wins and losses by query"
        yield "\n".join(f"- {comparison_sentence(comparison)}" for comparison in report["comparisons"])
        for comparison in report["comparisons"]:
            name = baseline_in_words(comparison["baseline"])
            yield f"![Differences in nDCG@10 to {name}](plots/against-{comparison['baseline']}.png)"
    if report.get("score_distributions"):
        yield "## Scores of the candidates"
        yield "![Distribution of every scorer's scores, by iteration](plots/scores.png)"
    if report.get("serving"):
        yield "## Serving"
        yield markdown_table(serving_rows(report["serving"]))
