"""The results of a run in the Hub's own form, and results and training data in that of the host's template."""

from __future__ import annotations

import json
from textwrap import indent
from typing import Any

from huggingface_hub import EvalResult

from st_mta.hub.public import public, public_values
from st_mta.report.markdown import in_code, in_markdown, values_in_markdown
from st_mta.report.schema import Report, TrainedLoss
from st_mta.report.tables import markdown_table, summary_table
from st_mta.report.wording import CROSS_ENCODER, measure_in_words, significance_sentence

MEASURES = ("ndcg@10", "mrr@10", "recall@100")
RESULT_COLUMNS = ("Role", "Model", "nDCG@10", "MRR@10", "Recall@100", "queries/s")


def eval_results(report: Report) -> list[EvalResult]:
    """The student's measures as evaluation metadata of the Hub.

    The dataset is named by its Hub id where it has one and its published test queries were used; development queries
    may have been drawn from the training queries, which others cannot compare with.
    """
    collection = report["collection"]
    hub_id = collection.get("hub_id") if report["split"] == "test" else None
    name = public(collection["name"])
    return [
        EvalResult(
            task_type="information-retrieval",
            task_name="Information Retrieval",
            dataset_type=hub_id or name,
            dataset_name=name,
            dataset_split=report["split"],
            metric_type=measure,
            metric_name=measure_in_words(measure),
            metric_value=report["student"][measure],  # type: ignore[literal-required]
        )
        for measure in MEASURES
    ]


def evaluation_section(report: Report) -> dict[str, Any]:
    """What the host's template shows under "Evaluation": student, student before, assistants and teacher."""
    shown = values_in_markdown(public_values(report))
    rows = [{column: row[column] for column in RESULT_COLUMNS} for row in summary_table(shown)]
    table = markdown_table(rows, strong=len(rows) - 1)
    what = "Re-ranking" if report["student"]["kind"] == CROSS_ENCODER else "Retrieval"
    return {
        "description": f"{what}, {report['split']} queries",
        "dataset_name": in_code(public(report["collection"]["name"])),
        "class_name": "ir_measures",
        "config_code": "",
        "table": f"{table}\n{significance_sentence(report['significance'])}\n",
    }


def training_data(report: Report, loss: TrainedLoss) -> dict[str, Any]:
    """The entry of the collection under "Training Dataset": name, size, columns, and the loss with its parameters."""
    collection = report["collection"]
    entry: dict[str, Any] = {
        "name": in_markdown(public(collection["name"])),
        "size": collection["queries"].get("train", 0),
        "columns": [
            "<code>query</code>",
            "<code>documents</code> (the candidates)",
            "<code>label</code> (the scores)",
        ],
        "loss": {"fullname": loss["class"]},
    }
    if hub_id := collection.get("hub_id"):
        entry["id"] = hub_id
    if loss["config"]:
        code = json.dumps(public_values(loss["config"]), indent=4, ensure_ascii=False)
        entry["loss"]["config_code"] = indent(f"```json\n{code}\n```", "  ")
    return entry
