"""The student against a baseline, query by query: where it won, where it lost, and what each put first."""

from __future__ import annotations

import numpy as np

from st_mta.evaluation.measures import per_query
from st_mta.report.schema import Comparison, PlacedPassage, QueryDifference
from st_mta.types import Qrels, Run

LARGEST = 10
MOST_DIFFERENCES = 1_000
"""Points of the curve of differences; more cannot be told apart on a page."""


def compare_queries(student: Run, baseline: Run, qrels: Qrels, name: str) -> Comparison:
    """Differences in nDCG@10 on every judged query, and the largest ones with their passages.

    Args:
        student: The student's run.
        baseline: The run it is compared with.
        qrels: Graded judgements.
        name: Of the baseline, as in the report ("student_before", "teacher").

    Raises:
        InputError: If there are no judgements, or a score is not a number.
    """
    ours, theirs = per_query(student, qrels, "ndcg@10"), per_query(baseline, qrels, "ndcg@10")
    differences = {query_id: ours[query_id] - theirs[query_id] for query_id in qrels}
    falling = sorted(differences, key=lambda query_id: -differences[query_id])
    wins = [query_id for query_id in falling if differences[query_id] > 0]
    losses = [query_id for query_id in reversed(falling) if differences[query_id] < 0]
    shown = np.linspace(0, len(falling) - 1, min(len(falling), MOST_DIFFERENCES)).round().astype(int)

    def explained(query_id: str) -> QueryDifference:
        placed = _placed(qrels[query_id], student.get(query_id, {}), baseline.get(query_id, {}))
        return {
            "query": query_id,
            "student": ours[query_id],
            "baseline": theirs[query_id],
            "student_first": next((passage for passage in placed if passage["student_rank"] == 1), None),
            "baseline_first": next((passage for passage in placed if passage["baseline_rank"] == 1), None),
            "relevant": max((passage for passage in placed if (passage["grade"] or 0) > 0), key=_worth, default=None),
        }

    return {
        "baseline": name,
        "wins": len(wins),
        "losses": len(losses),
        "ties": len(falling) - len(wins) - len(losses),
        "differences": [differences[falling[rank]] for rank in shown],
        "largest_wins": [explained(query_id) for query_id in wins[:LARGEST]],
        "largest_losses": [explained(query_id) for query_id in losses[:LARGEST]],
    }


def _placed(grades: dict[str, int], student: dict[str, float], baseline: dict[str, float]) -> list[PlacedPassage]:
    """Every passage of a query that either run found or that is judged."""
    ours, theirs = _ranks(student), _ranks(baseline)
    return [
        {
            "passage": passage_id,
            "grade": grades.get(passage_id),
            "student_rank": ours.get(passage_id),
            "baseline_rank": theirs.get(passage_id),
        }
        for passage_id in {**grades, **ours, **theirs}
    ]


def _ranks(scores: dict[str, float]) -> dict[str, int]:
    """Passage -> rank from 1, best first, ties as trec_eval breaks them: single precision, higher id first."""
    ranking = sorted(((np.float32(score), passage_id) for passage_id, score in scores.items()), reverse=True)
    return {passage_id: rank for rank, (_, passage_id) in enumerate(ranking, start=1)}


def _worth(passage: PlacedPassage) -> tuple[int, float]:
    """The grade first; among equals the passage that either system ranks highest."""
    ranks = [rank for rank in (passage["student_rank"], passage["baseline_rank"]) if rank is not None]
    return passage["grade"] or 0, -min(ranks, default=float("inf"))
