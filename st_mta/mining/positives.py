"""Labelled positives as ragged arrays of positions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from st_mta.mining.copies import first_of_same, repeated
from st_mta.types import BoolArray, Collection, IntArray, Qrels, Ragged, Retrieved, offsets_of


@dataclass(frozen=True)
class Positives(Ragged):
    """The labelled passages of each query, best grade first.

    Attributes:
        offsets: (Q + 1,) row boundaries.
        passages: Positions in the corpus.
        grades: Of these passages, 1 and above.
    """

    offsets: IntArray
    passages: IntArray
    grades: IntArray

    def slice(self, rows: slice) -> Positives:
        """The positives of consecutive rows."""
        offsets = self.offsets[rows.start : rows.stop + 1]
        inside = slice(offsets[0], offsets[-1])
        return Positives(offsets - offsets[0], self.passages[inside], self.grades[inside])

    def keep(self, wanted: BoolArray) -> Positives:
        """Only the positives marked True; rows stay, possibly shorter."""
        lengths = np.bincount(self.rows[wanted], minlength=len(self))
        return Positives(offsets_of(lengths), self.passages[wanted], self.grades[wanted])

    def mark(self, passages: IntArray, first: IntArray) -> BoolArray:
        """Which entries of a (Q, K) matrix of corpus positions have the text of a positive of their row.

        Args:
            passages: (Q, K), -1 is padding.
            first: (n,) as of [`first_of_same`].
        """
        if len(self.passages) == 0:
            return np.zeros(passages.shape, dtype=bool)
        known = np.sort(self.rows * len(first) + first[self.passages])
        wanted = np.arange(len(self))[:, None] * len(first) + first[passages]
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return np.asarray((known[place] == wanted) & (passages >= 0))


def find_positives(collection: Collection, query_positions: IntArray, qrels: Qrels | None) -> Positives:
    """The passages of grade 1 and above of each query, best grade first, equal grades in the order of the qrels.

    Passages that the corpus does not have are left out; of a document that is cut its first window is named.
    """
    judged = [(qrels or {}).get(query_id, {}) for query_id in collection.queries.take_ids(query_positions)]
    lengths = np.asarray([len(grades) for grades in judged], dtype=np.int64)
    rows = np.repeat(np.arange(len(judged), dtype=np.int64), lengths)
    grades = np.asarray([grade for grades in judged for grade in grades.values()], dtype=np.int64)
    passages = collection.find_judged([passage_id for grades in judged for passage_id in grades])
    kept = (grades >= 1) & (passages >= 0)
    rows, grades, passages = rows[kept], grades[kept], passages[kept]
    order = np.lexsort((-grades, rows))
    return Positives(offsets_of(np.bincount(rows, minlength=len(judged))), passages[order], grades[order])


def positive_ranks(retrieved: Retrieved, collection: Collection, qrels: Qrels) -> IntArray:
    """(Q,) the rank, from 1, of each query's first passage of grade 1 and above; 0 where none was retrieved.

    A passage with the text of one of grade 1 counts as that one. Where passages are windows, documents are counted.
    """
    passages, first = retrieved.passages, first_of_same(collection)
    hits = find_positives(collection, retrieved.queries, qrels).mark(passages, first)
    if hits.shape[1] == 0:
        return np.zeros(len(hits), dtype=np.int64)
    ranks = np.arange(1, hits.shape[1] + 1)[None].repeat(len(hits), axis=0)
    if collection.windows is not None:
        ranks = np.cumsum(~repeated(np.where(passages >= 0, first[passages], -1)), axis=1)
    return np.where(hits.any(axis=1), ranks[np.arange(len(hits)), hits.argmax(axis=1)], 0)
