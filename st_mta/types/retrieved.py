"""Rankings, as arrays and as runs with ids."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from st_mta.types.arrays import FloatArray, IntArray
from st_mta.types.texts import Texts

Run = dict[str, dict[str, float]]
"""Scores of one system: query id -> passage id -> score, higher is better."""


@dataclass(frozen=True)
class Retrieved:
    """The best passages of each query, best first; rows shorter than k are filled with position -1 and score -inf.

    Attributes:
        queries: (Q,) positions in the queries.
        passages: (Q, k) positions in the corpus.
        scores: (Q, k) float32.
    """

    queries: IntArray
    passages: IntArray
    scores: FloatArray

    def ordered(self, order: npt.NDArray[np.integer]) -> Retrieved:
        """The same with the entries of every row in the order of (Q, k) column numbers."""
        passages, scores = np.take_along_axis(self.passages, order, 1), np.take_along_axis(self.scores, order, 1)
        return Retrieved(self.queries, passages, scores)

    def to_run(self, queries: Texts, corpus: Texts) -> Run:
        """The same as a TREC run with ids."""
        found = self.passages >= 0
        query_ids, passage_ids = queries.take_ids(self.queries), corpus.take_ids(self.passages[found])
        return run_of(query_ids, found.sum(axis=1), passage_ids, self.scores[found])


def run_of(query_ids: Iterable[str], lengths: IntArray, passage_ids: Iterable[str], scores: FloatArray) -> Run:
    """A run from queries with (Q,) lengths, and the ids and scores (P,) of their passages one behind the other."""
    pairs = zip(passage_ids, scores.tolist())
    return {query_id: dict(islice(pairs, length)) for query_id, length in zip(query_ids, lengths.tolist())}
