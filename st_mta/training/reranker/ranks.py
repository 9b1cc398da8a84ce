"""How well a cross-encoder does on every training query, without searching the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from st_mta.mining import mine
from st_mta.scored import score_all
from st_mta.types import Collection, IntArray, Qrels, Scorer


def ranks_in_lists(
    student: Scorer,
    collection: Collection,
    queries: IntArray,
    retrievers: Sequence[Scorer],
    positives: Qrels,
    num_candidates: int,
) -> IntArray:
    """(Q,) the rank, from 1, of each query's best positive among what the retrievers find; 0 where none is known.

    The lists are the top ones with the positives in them, so that a query counts as wrong for the student's mistakes
    and not for those of the retrievers. They cost ``num_candidates`` pairs of each query. Of equal logits the
    positive's is the last.

    Args:
        student: Scores the lists.
        collection: Texts.
        queries: (Q,) positions of queries, each once.
        retrievers: They bring the lists.
        positives: Judgements of these queries.
        num_candidates: Passages per query at most.
    """
    lists = mine(collection, queries, retrievers, positives, num_candidates=num_candidates, sampling_strategy="top")
    scores, mask, positive = (tensor.numpy() for tensor in score_all(collection, lists, [student]).dense())
    scores = scores[:, 0]
    best = np.where(positive & mask, scores, -np.inf).max(axis=1, keepdims=True)
    ranks = 1 + ((scores >= best) & mask & ~positive).sum(axis=1)
    return np.where(positive.any(axis=1), ranks, 0).astype(np.int64)
