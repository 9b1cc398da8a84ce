"""An inverted index: weights of terms by passage, searched exactly and in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from st_mta.progress import progress
from st_mta.types import FloatArray, IntArray, offsets_of

ENTRIES_AT_ONCE = 2**25  # entries of the (queries, corpus) product held at once, 12 bytes each
PAIRS_AT_ONCE = 2**16


@dataclass
class InvertedIndex:
    """Term weights of a corpus; scores are inner products with the term weights of queries.

    Products are summed in double precision, so that they do not depend on the order of terms.

    Attributes:
        by_term: (n, V) float32 weights, sliced by column to search.
    """

    by_term: sp.csc_matrix

    @cached_property
    def by_passage(self) -> sp.csr_matrix:
        """The same weights, sliced by row to score pairs."""
        return self.by_term.tocsr()

    def score(self, queries: sp.csr_matrix, query_of: IntArray, passages: IntArray) -> FloatArray:
        """(P,) scores of pairs: row ``query_of`` of the queries (Q, V) with the passage at a position, (P,) each."""
        scores = np.empty(len(query_of), dtype=np.float32)
        for start in range(0, len(scores), PAIRS_AT_ONCE):
            part = slice(start, start + PAIRS_AT_ONCE)
            distinct, passage_of = np.unique(passages[part], return_inverse=True)
            scores[part] = row_products(queries, self.by_passage[distinct], query_of[part], passage_of)
        return scores

    def search(self, queries: sp.csr_matrix, k: int, label: str) -> tuple[FloatArray, IntArray]:
        """The k best passages that share a term with each query; ties go to the lower position.

        Args:
            queries: (Q, V) float64 weights.
            k: Passages per query.
            label: What the progress bar says.

        Returns:
            Scores and positions (Q, k); -inf and -1 where there are fewer.
        """
        scores = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        passages = np.full(scores.shape, -1, dtype=np.int64)
        with progress(label, len(scores), "queries") as bar:
            for block in self._blocks(queries):
                products = sp.csr_matrix(queries[block] @ self._needed_terms(queries[block]))
                for row, entries in enumerate(map(slice, products.indptr, products.indptr[1:]), block.start):
                    found = products.data[entries].astype(np.float32), products.indices[entries].astype(np.int64)
                    best, where = _best(*found, k)
                    scores[row, : len(best)], passages[row, : len(best)] = best, where
                bar.update(products.shape[0])
        return scores, passages

    def _blocks(self, queries: sp.csr_matrix) -> list[slice]:
        """Cuts queries so that no block touches more index entries than fit in memory."""
        touched = np.asarray((queries > 0) @ np.diff(self.by_term.indptr), dtype=np.int64)
        blocks, start = [], 0
        while start < len(touched):
            size = max(1, int(np.searchsorted(np.cumsum(touched[start:]), ENTRIES_AT_ONCE, side="right")))
            blocks.append(slice(start, start + size))
            start += size
        return blocks

    def _needed_terms(self, queries: sp.csr_matrix) -> sp.csr_matrix:
        """(V, n) float64 weights, empty but for the terms of these queries."""
        terms = np.unique(queries.indices)
        columns = self.by_term[:, terms].astype(np.float64)
        lengths = np.zeros(self.by_term.shape[1], dtype=np.int64)
        lengths[terms] = np.diff(columns.indptr)
        return sp.csr_matrix((columns.data, columns.indices, offsets_of(lengths)), shape=self.by_term.shape[::-1])


def row_products(left: sp.csr_matrix, right: sp.csr_matrix, left_rows: IntArray, right_rows: IntArray) -> FloatArray:
    """(P,) inner products of rows of two sparse matrices."""
    products = left[left_rows].multiply(right.astype(np.float64)[right_rows])
    return np.asarray(products.sum(axis=1), dtype=np.float32).ravel()


def _best(scores: FloatArray, positions: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """The k best of a sparse row; ties go to the lower position."""
    if len(scores) > 4 * k > 0:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        scores, positions = scores[kept], positions[kept]
    order = np.lexsort((positions, -scores))[:k]
    return scores[order], positions[order]
