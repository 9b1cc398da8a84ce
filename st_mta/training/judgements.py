"""Judgements by the teacher, for development queries that come without any."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from st_mta.mining import best_windows, mine
from st_mta.mining.copies import first_of_same, with_copies
from st_mta.types import Collection, IntArray, Qrels, Scorer, by_query, numbers_within

RELEVANT = 10
"""Passages per query that count as relevant: the teacher's best has grade 2, the others grade 1."""


def unjudged(collection: Collection, split: str) -> IntArray:
    """Positions of the split's queries whose judgements are empty."""
    empty = [query_id for query_id, judged in collection.qrels[split].items() if not judged]
    return collection.queries.positions(empty)


def judge_by_teacher(
    collection: Collection, queries: IntArray, teacher: Scorer, retrievers: Sequence[Scorer], depth: int
) -> Qrels:
    """The teacher's best passages of each query, as judgements.

    Args:
        collection: Texts.
        queries: (Q,) positions.
        teacher: It searches the corpus where it can, and otherwise ranks what the retrievers find.
        retrievers: Scorers that search.
        depth: Passages per query that it looks at.

    Returns:
        Grades for every query of which the teacher knows a passage.
    """
    searching = [teacher] if teacher.can_retrieve else retrievers
    lists = mine(collection, queries, searching, None, num_candidates=max(2, depth), depth=max(2, depth))
    lists = best_windows(collection, lists, teacher)
    scores = teacher.score_lists(collection.queries, collection.corpus, lists)
    lists, scores = lists.keep(~np.isnan(scores)), scores[~np.isnan(scores)]
    rows, passages = lists.rows, lists.passages
    if (windows := collection.windows) is not None:  # a document is judged once, by the sum of its best windows
        lengths, scores = windows.sums(rows, passages, scores)
        first = np.cumsum(lengths) - lengths
        rows, passages = rows[first], windows.offsets[windows.document[passages[first]]]
    order = np.lexsort((passages, -scores, rows))
    rank = numbers_within(np.bincount(rows, minlength=len(lists)))
    best, grades = order[rank < RELEVANT], np.where(rank[rank < RELEVANT] == 0, 2, 1)
    # A list holds a text once; its copies are as relevant.
    of, copies = with_copies(passages[best], first_of_same(collection))
    query_ids = collection.queries.take_ids(lists.queries[rows[best][of]])
    return by_query(query_ids, collection.judged_ids(copies), grades[of].tolist())
