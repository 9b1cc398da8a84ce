"""The text of the section "Distillation Lineage" of a model card, and the sentence at its top."""

from __future__ import annotations

from st_mta.hub.public import public, public_values
from st_mta.report.schema import ModelEntry, Report
from st_mta.report.tables import best_row, iteration_rows, markdown_table, size_of, systems
from st_mta.report.wording import (
    CROSS_ENCODER,
    NOTHING,
    best_sentence,
    queries,
    training_sentence,
    verdict,
    warm_up_sentence,
)

HUB = "https://huggingface.co"


def summary(report: Report) -> str:
    """One paragraph: what the student is and how good."""
    teacher, helpers = public(report["teacher"]["name"]), len(report["assistants"])
    assistants = {0: "", 1: " and one assistant"}.get(helpers, f" and {helpers} assistants")
    what = "re-ranker" if report["student"]["kind"] == CROSS_ENCODER else "retriever"
    return f"It is a small {what}, distilled from the teacher {teacher}{assistants}. {verdict(report)}"


def lineage_section(report: Report) -> str:
    """Markdown: teacher, assistants and student, then the data, the iterations and what they cost."""
    times = len(report["iterations"])
    paragraphs = [
        f"Distilled by st_mta (MTA4DPR, EMNLP 2024) in {times} iteration{'s' * (times != 1)} of mining candidates, "
        "scoring them with the teacher and its assistants, training the student on both, and evaluating it.",
        markdown_table([_row(role, entry) for role, entry in systems(report) if role != "student before"]),
        _data_sentence(report),
        public(warm_up_sentence(report)),
        markdown_table(public_values(iteration_rows(report)), strong=best_row(report)),
        best_sentence(report),
        _compute_sentence(report),
    ]
    return "\n\n".join(paragraph.strip() for paragraph in paragraphs if paragraph) + "\n"


def _row(role: str, entry: ModelEntry) -> dict[str, str]:
    hub_id, revision = entry.get("hub_id"), entry.get("revision")
    return {
        "Role": role,
        "Model": f"[{public(entry['name'])}]({HUB}/{hub_id})" if hub_id else public(entry["name"]),
        "Revision": f"[{revision[:7]}]({HUB}/{hub_id}/tree/{revision})" if hub_id and revision else NOTHING,
        "Kind": entry["kind"],
        **size_of(entry),
    }


def _data_sentence(report: Report) -> str:
    collection = report["collection"]
    hub_id, licence = collection.get("hub_id"), collection.get("licence")
    name = public(collection["name"])
    data = f"[{name}]({HUB}/datasets/{hub_id})" if hub_id else name
    terms = f"Licence of the data as its source states it: {licence}." if licence else "The source states no licence."
    sizes = f"Data: {data}, {collection['passages']:,} passages; queries: {queries(collection)}."
    return " ".join([sizes, *map(public, collection["notes"]), terms])


def _compute_sentence(report: Report) -> str:
    compute = report["compute"]
    return (
        f"{compute['pairs_scored']:,} query-passage pairs were scored ({compute['pairs_reused']:,} more came from the "
        f"store), {compute['passages_encoded']:,} passages encoded. {training_sentence(compute)} "
        f"It ran on {report['device']} in {report['precision']}, seed {report['seed']}."
    )
