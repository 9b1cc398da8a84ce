"""The text of ``report.md``."""

from __future__ import annotations

from collections.abc import Iterator

from st_mta.report import tables, wording
from st_mta.report.schema import Report


def page(report: Report, student_path: str) -> str:
    """The report as Markdown; plots are expected in ``plots/`` beside it.

    Args:
        report: A finished run's report.
        student_path: Where the student was saved, for the lines of Python that load it.
    """
    return "\n".join(part.rstrip("\n") + "\n" for part in _parts(report, student_path))


def _parts(report: Report, student_path: str) -> Iterator[str]:
    *systems, student = tables.summary_table(report)
    if said := wording.notice(report):
        yield f"**{said}**"
    yield f"# Distillation on {report['collection']['name']}"
    yield f"**{wording.quality_sentence(report)}**"
    yield wording.data_sentence(report)
    yield tables.markdown_table([*systems, tables.bold(student)])
    significance = wording.significance_sentence(report["significance"])
    yield f"Recovered: {wording.recovered(report)} of the teacher. {significance}"
    yield "![nDCG@10 on the development queries by iteration](plots/quality.png)"
    yield "## Use it"
    yield f"```python\n{wording.loading_code(student_path)}\n```"
    yield "## Iterations"
    if sentence := wording.warm_up_sentence(report):
        yield sentence
    yield tables.markdown_table(tables.iteration_rows(report))
    yield wording.best_sentence(report)
    yield "![How often each assistant was selected, by iteration](plots/selection.png)"
    if sentence := wording.imitation_sentence(report):
        yield sentence
    yield from _optional(report)
    yield "## Compute"
    yield tables.markdown_table(tables.reuse_rows(report["compute"]))
    yield wording.training_sentence(report["compute"])
    yield tables.markdown_table(tables.stage_rows(report["compute"]))
    yield "## Conditions"
    yield "\n".join(f"- {name}: {value}" for name, value in wording.conditions(report))
    if report["collection"]["notes"]:
        yield "## Notes"
        yield "\n".join(f"- {note}" for note in report["collection"]["notes"])


def _optional(report: Report) -> Iterator[str]:
    """What only some reports have."""
    if report.get("comparisons"):
        yield "## Wins and losses by query"
        against = [(wording.baseline_in_words(entry["baseline"]), entry) for entry in report["comparisons"]]
        yield "\n".join(f"- Against {name}: {wording.wins_and_losses(entry)} in nDCG@10." for name, entry in against)
        for name, entry in against:
            yield f"![Differences in nDCG@10 to {name}](plots/against-{entry['baseline']}.png)"
    if report.get("score_distributions"):
        yield "## Scores of the candidates"
        yield "![Distribution of every scorer's scores, by iteration](plots/scores.png)"
    if report.get("serving"):
        yield "## Serving"
        yield tables.markdown_table(tables.serving_rows(report["serving"]))
