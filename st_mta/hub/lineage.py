"""The text of the section "Distillation Lineage" of a model card."""

from __future__ import annotations

from pathlib import Path

from st_mta.evaluation.page import iteration_rows, warm_up_sentence
from st_mta.evaluation.schema import Report
from st_mta.evaluation.table import markdown_table
from st_mta.evaluation.wording import duration, significance_sentence, summary_table, verdict


def lineage_section(report: Report) -> str:
    """Markdown: teacher, assistants and student with their quality, then how the training went.

    Names that are folders of the machine it was trained on are cut to their last part.
    """
    collection, compute = report["collection"], report["compute"]
    paragraphs = [
        f"Distilled by st_mta from a teacher and {len(report['assistants'])} assistants on the collection "
        f"{_public(collection['name'])} ({collection['passages']:,} passages). {verdict(report)}",
        f"Measured on the {report['split']} queries:",
        markdown_table(_public_rows(summary_table(report), ("Model",))),
        significance_sentence(report["significance"]),
    ]
    if report["warm_up"] is not None:
        warm_up = {**report["warm_up"], "regressed_to": _public(report["warm_up"]["regressed_to"])}
        paragraphs.append(warm_up_sentence(warm_up, report["development"].get("student_before")))  # type: ignore[arg-type]
    paragraphs += [
        markdown_table(_public_rows(iteration_rows(report), ("Selected most", "Promoted over"))),
        f"{compute['pairs_scored']:,} pairs were scored ({compute['pairs_reused']:,} more came from the store); the "
        f"student trained on {compute['training_sequences']:,} texts. The distillation took "
        f"{duration(compute['total_seconds'])} on {report['device']} in {report['precision']}, seed {report['seed']}.",
    ]
    return "\n\n".join(paragraph.strip() for paragraph in paragraphs) + "\n"


def _public_rows(rows: list[dict[str, str]], columns: tuple[str, ...]) -> list[dict[str, str]]:
    return [{column: _public(value) if column in columns else value for column, value in row.items()} for row in rows]


def _public(text: str) -> str:
    """The text without the leading folders of absolute paths."""
    return " ".join("+".join(_last_part(name) for name in word.split("+")) for word in text.split(" "))


def _last_part(name: str) -> str:
    return Path(name).name if Path(name).is_absolute() and Path(name).name else name
