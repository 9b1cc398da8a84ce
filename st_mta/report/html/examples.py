"""The largest wins and losses with their texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from st_mta.report.schema import Comparison, PlacedPassage, QueryDifference, Report
from st_mta.types import Collection, Texts

LONGEST = 600
"""Characters of a passage; what follows does not help to see why it was found."""
BASELINES = {"student_before": "the student before", "teacher": "the teacher"}


@dataclass(frozen=True)
class ShownPassage:
    """A passage with the parts it plays for a query ("relevant", "first for the student"), its ranks and its text."""

    passage_id: str
    parts: list[str]
    ranks: str
    text: str


@dataclass(frozen=True)
class ShownQuery:
    """A query with both values, printable; ``text`` is empty where only its id is known."""

    query_id: str
    text: str
    difference: str
    values: str
    passages: list[ShownPassage]


class Examples:
    """Looks up the texts of all examples of a report at once.

    Args:
        report: Its comparisons hold ids.
        collection: Texts by id, or None; an id it does not know stays without a text.
    """

    def __init__(self, report: Report, collection: Collection | None) -> None:
        entries = [
            entry
            for comparison in report.get("comparisons", [])
            for entry in [*comparison["largest_wins"], *comparison["largest_losses"]]
        ]
        query_ids = {entry["query"] for entry in entries}
        passage_ids = {placed["passage"] for entry in entries for _, placed in _parts(entry, "") if placed}
        self.queries = _known(None if collection is None else collection.queries, query_ids)
        self.passages = _known(None if collection is None else collection.corpus, passage_ids)

    def of(self, comparison: Comparison, which: Literal["largest_wins", "largest_losses"]) -> list[ShownQuery]:
        """The comparison's wins or losses, ready to be shown."""
        return [self._shown(entry, BASELINES[comparison["baseline"]]) for entry in comparison[which]]

    def _shown(self, entry: QueryDifference, baseline: str) -> ShownQuery:
        passages: dict[str, ShownPassage] = {}
        for part, placed in _parts(entry, baseline):
            if placed is None:
                continue
            name = placed["passage"]
            text = self.passages.get(name, "")
            shown = passages.setdefault(name, ShownPassage(name, [], _ranks(placed, baseline), _shortened(text)))
            shown.parts.append(part)
        return ShownQuery(
            query_id=entry["query"],
            text=self.queries.get(entry["query"], ""),
            difference=f"{entry['student'] - entry['baseline']:+.3f}",
            values=f"{entry['baseline']:.3f} → {entry['student']:.3f}",
            passages=list(passages.values()),
        )


def _parts(entry: QueryDifference, baseline: str) -> list[tuple[str, PlacedPassage | None]]:
    return [
        ("most relevant", entry["relevant"]),
        ("first for the student", entry["student_first"]),
        (f"first for {baseline}", entry["baseline_first"]),
    ]


def _ranks(placed: PlacedPassage, baseline: str) -> str:
    grade = "not judged" if placed["grade"] is None else f"grade {placed['grade']}"
    ranks = (("the student", placed["student_rank"]), (baseline, placed["baseline_rank"]))
    found = [f"not found by {who}" if rank is None else f"rank {rank} for {who}" for who, rank in ranks]
    return ", ".join([grade, *found])


def _known(texts: Texts | None, ids: set[str]) -> dict[str, str]:
    if texts is None or not ids:
        return {}
    ordered = sorted(ids)
    found = texts.find(ordered)
    known = [name for name, position in zip(ordered, found) if position >= 0]
    return dict(zip(known, texts.take(found[found >= 0])))


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
