"""The results of a run in the Hub's own form, and as a table for the card."""

from __future__ import annotations

from typing import Any

from huggingface_hub import EvalResult

from st_mta.hub.public import public, public_rows
from st_mta.report.schema import Report
from st_mta.report.tables import bold, markdown_table, summary_table
from st_mta.report.wording import measure_in_words, significance_sentence

MEASURES = ("ndcg@10", "mrr@10", "recall@100")
RESULT_COLUMNS = ("Role", "Model", "nDCG@10", "MRR@10", "Recall@100", "queries/s")


def eval_results(report: Report) -> list[EvalResult]:
    """The student's measures as evaluation metadata of the Hub.

    The dataset is named by its Hub id where it has one and its published test queries were used; development queries
    may have been drawn from the training queries, which nobody else could compare with.
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
    rows = [{column: row[column] for column in RESULT_COLUMNS} for row in summary_table(report)]
    rows[-1] = bold(rows[-1])
    table = markdown_table(public_rows(rows, "Model"))
    return {
        "description": f"Retrieval, {report['split']} queries",
        "dataset_name": public(report["collection"]["name"]),
        "class_name": "ir_measures",
        "config_code": "",
        "table": f"{table}\n{significance_sentence(report['significance'])}\n",
    }
