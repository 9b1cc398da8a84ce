"""Lists of passages, one for each query."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from st_mta.types.arrays import BoolArray, IntArray
from st_mta.types.ragged import Ragged, offsets_of


@dataclass(frozen=True)
class Lists(Ragged):
    """For each query an ordered list of passages.

    Attributes:
        queries: (Q,) positions in the collection's queries.
        offsets: (Q + 1,) row boundaries, starting at 0.
        passages: (P,) positions in the corpus.
    """

    queries: IntArray
    offsets: IntArray
    passages: IntArray

    @staticmethod
    def of_pairs(query_positions: IntArray, passage_positions: IntArray) -> tuple[Lists, IntArray]:
        """The pairs of each query as its list, in their order.

        Returns:
            The lists, by query position, and which pair (P,) each entry is.
        """
        order = np.argsort(query_positions, kind="stable")
        queries, lengths = np.unique(query_positions, return_counts=True)
        return Lists(queries, offsets_of(lengths), passage_positions[order]), order

    @property
    def pair_queries(self) -> IntArray:
        """(P,) query position of each pair."""
        return np.repeat(self.queries, self.lengths)

    def select(self, rows: IntArray) -> Lists:
        """The lists of these rows, in this order (a row may occur several times)."""
        rows = np.asarray(rows, dtype=np.int64)
        return Lists(self.queries[rows], offsets_of(self.lengths[rows]), self.passages[self.pairs_of(rows)])


@dataclass(frozen=True)
class Candidates(Lists):
    """For each query an ordered list of passages, and what is known of them before they are scored.

    Attributes:
        queries, offsets, passages: As of [`Lists`].
        positive: (P,) True for a relevant passage (labelled, or the teacher's best where labels are missing).
        source: (P,) which of ``sources`` brought the passage.
        sources: Names of the retrievers; "qrels" for passages that came in as labelled positives.
        grades: (P,) int64 grades of the positives, 0 for all others; a positive of which nothing is said has grade 1.
    """

    positive: BoolArray
    source: IntArray
    sources: tuple[str, ...]
    grades: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        graded = self.grades if len(self.grades) else np.zeros(len(self.passages), dtype=np.int64)
        object.__setattr__(self, "grades", np.where(self.positive, np.maximum(graded, 1), 0))

    def select(self, rows: IntArray) -> Candidates:
        """The candidates of these rows, in this order (a row may occur several times)."""
        rows = np.asarray(rows, dtype=np.int64)
        return self._part(self.queries[rows], self.lengths[rows], self.pairs_of(rows))

    def keep(self, pairs: BoolArray) -> Candidates:
        """Only the pairs marked True; rows stay, possibly shorter."""
        return self._part(self.queries, np.bincount(self.rows[pairs], minlength=len(self)), pairs)

    def _part(self, queries: IntArray, lengths: IntArray, pairs: IntArray | BoolArray) -> Candidates:
        columns = self.passages[pairs], self.positive[pairs], self.source[pairs]
        return Candidates(queries, offsets_of(lengths), *columns, self.sources, self.grades[pairs])

    def rows_of(self, queries: IntArray) -> IntArray:
        """Row numbers of these query positions, in their order; queries without a row are left out."""
        order = np.argsort(self.queries, kind="stable")
        place = np.searchsorted(self.queries, queries, sorter=order).clip(max=len(order) - 1)
        rows = order[place]
        found: IntArray = rows[self.queries[rows] == queries]
        return found
