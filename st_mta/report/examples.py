"""The largest wins and losses with their texts."""

from __future__ import annotations

from typing import Any

from st_mta.report.schema import Comparison, PlacedPassage, QueryDifference, Report
from st_mta.types import Collection, Texts

LONGEST = 600
"""Characters of a passage; what follows does not help to see why it was found."""
BASELINES = {"student_before": "the student before", "teacher": "the teacher"}


class Examples:
    """Looks up the texts of all examples of a report at once.

    Args:
        report: Its comparisons hold ids.
        collection: Texts by id, or None; an id it does not know stays without a text.
    """

    def __init__(self, report: Report, collection: Collection | None) -> None:
        compared = report.get("comparisons", [])
        entries = [entry for one in compared for entry in [*one["largest_wins"], *one["largest_losses"]]]
        passages = {placed["passage"] for entry in entries for _, placed in _parts(entry, "")}
        queries, corpus = (None, None) if collection is None else (collection.queries, collection.corpus)
        self.queries = _known(queries, {entry["query"] for entry in entries})
        self.passages = _known(corpus, passages)

    def of(self, comparison: Comparison) -> dict[str, list[dict[str, Any]]]:
        """The "wins" and "losses", ready to be shown; the text of a query is empty if only its id is known."""
        baseline = BASELINES[comparison["baseline"]]
        return {
            "wins": [self._shown(entry, baseline) for entry in comparison["largest_wins"]],
            "losses": [self._shown(entry, baseline) for entry in comparison["largest_losses"]],
        }

    def _shown(self, entry: QueryDifference, baseline: str) -> dict[str, Any]:
        passages: dict[str, dict[str, Any]] = {}
        for part, placed in _parts(entry, baseline):
            name = placed["passage"]
            text = _shortened(self.passages.get(name, ""))
            shown = {"passage_id": name, "parts": [], "ranks": _ranks(placed, baseline), "text": text}
            passages.setdefault(name, shown)["parts"].append(part)
        return {
            "query_id": entry["query"],
            "text": self.queries.get(entry["query"], ""),
            "difference": f"{entry['student'] - entry['baseline']:+.3f}",
            "change": f"{entry['baseline']:.3f} → {entry['student']:.3f}",
            "passages": list(passages.values()),
        }


def _parts(entry: QueryDifference, baseline: str) -> list[tuple[str, PlacedPassage]]:
    """The parts that passages play for a query; one passage may play several."""
    parts = [
        ("most relevant", entry["relevant"]),
        ("first for the student", entry["student_first"]),
        (f"first for {baseline}", entry["baseline_first"]),
    ]
    return [(part, placed) for part, placed in parts if placed is not None]


def _ranks(placed: PlacedPassage, baseline: str) -> str:
    grade = "not judged" if placed["grade"] is None else f"grade {placed['grade']}"
    ranks = (("the student", placed["student_rank"]), (baseline, placed["baseline_rank"]))
    found = [f"not found by {who}" if rank is None else f"rank {rank} for {who}" for who, rank in ranks]
    return ", ".join([grade, *found])


def _known(texts: Texts | None, ids: set[str]) -> dict[str, str]:
    if texts is None or not ids:
        return {}
    found = texts.find(sorted(ids))
    found = found[found >= 0]
    return dict(zip(texts.take_ids(found), texts.take(found)))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
