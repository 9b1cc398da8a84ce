"""The text of the section "Distillation Lineage" of a model card, and the sentence at its top."""

from __future__ import annotations

from st_mta.hub.public import public, public_rows
from st_mta.report.schema import ModelEntry, Report
from st_mta.report.tables import iteration_rows, markdown_table
from st_mta.report.wording import NOTHING, best_sentence, count, training_sentence, verdict, warm_up_sentence

HUB = "https://huggingface.co"


def summary(report: Report) -> str:
    """One paragraph: what the student is and how good."""
    teacher, helpers = report["teacher"], len(report["assistants"])
    assistants = {0: "", 1: " and one assistant"}.get(helpers, f" and {helpers} assistants")
    return (
        f"It is a small retriever, distilled from the teacher {public(teacher['name'])}{assistants}. {verdict(report)}"
    )


def lineage_section(report: Report) -> str:
    """Markdown: teacher, assistants and student, then the data, the iterations and what they cost."""
    paragraphs = [
        f"Distilled by st_mta (MTA4DPR, EMNLP 2024) in {_times(len(report['iterations']))} of mining candidates, "
        "scoring them with the teacher and its assistants, training the student on both, and evaluating it.",
        markdown_table(_model_rows(report)),
        _data_sentence(report),
        public(warm_up_sentence(report)),
        markdown_table(public_rows(iteration_rows(report), "Selected most", "Promoted over")),
        best_sentence(report),
        _compute_sentence(report),
    ]
    return "\n\n".join(paragraph.strip() for paragraph in paragraphs if paragraph) + "\n"


def _times(iterations: int) -> str:
    return "1 iteration" if iterations == 1 else f"{iterations} iterations"


def _model_rows(report: Report) -> list[dict[str, str]]:
    systems = [("teacher", report["teacher"]), *(("assistant", entry) for entry in report["assistants"])]
    return [_model_row(role, entry) for role, entry in [*systems, ("student", report["student"])]]


def _model_row(role: str, entry: ModelEntry) -> dict[str, str]:
    hub_id, revision = entry.get("hub_id"), entry.get("revision")
    return {
        "Role": role,
        "Model": f"[{public(entry['name'])}]({HUB}/{hub_id})" if hub_id else public(entry["name"]),
        "Revision": f"[{revision[:7]}]({HUB}/{hub_id}/tree/{revision})" if hub_id and revision else NOTHING,
        "Kind": entry["kind"],
        "Layers": NOTHING if entry["layers"] is None else str(entry["layers"]),
        "Parameters": count(entry["parameters"]),
    }


def _data_sentence(report: Report) -> str:
    collection = report["collection"]
    hub_id, licence = collection.get("hub_id"), collection.get("licence")
    name = public(collection["name"])
    queries = ", ".join(f"{number:,} {split}" for split, number in collection["queries"].items())
    notes = " ".join(public(note) for note in collection["notes"])
    sentences = [
        f"Data: {f'[{name}]({HUB}/datasets/{hub_id})' if hub_id else name}, {collection['passages']:,} passages; "
        f"queries: {queries}.",
        notes,
        f"Licence of the data as its source states it: {licence}." if licence else "The source states no licence.",
    ]
    return " ".join(filter(None, sentences))


def _compute_sentence(report: Report) -> str:
    compute = report["compute"]
    return (
        f"{compute['pairs_scored']:,} query-passage pairs were scored ({compute['pairs_reused']:,} more came from the "
        f"store), {compute['passages_encoded']:,} passages encoded. {training_sentence(compute)} "
        f"It ran on {report['device']} in {report['precision']}, seed {report['seed']}."
    )
