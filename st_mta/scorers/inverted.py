"""An inverted index: weights of terms by passage, searched exactly and in bounded memory."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from st_mta.progress import progress
from st_mta.search.corpus import tensor_over
from st_mta.search.threads import one_core_each
from st_mta.types import FloatArray, IntArray, numbers_within

QUERIES_AT_ONCE = 64  # of one thread, between two looks at the progress bar
PAIRS_AT_ONCE = 2**16

AnyInts = npt.NDArray[np.integer]
Doubles = npt.NDArray[np.float64]


@dataclass
class InvertedIndex:
    """Term weights of a corpus; scores are inner products with the term weights of queries.

    Products are summed in double precision, so that they do not depend on the order of terms.

    Attributes:
        by_term: (n, V) float32 weights, sliced by column to search; rows ascend in every column.
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
            scores[part] = self._score(queries, query_of[part], passages[part])
        return scores

    def _score(self, queries: sp.csr_matrix, query_of: IntArray, passages: IntArray) -> FloatArray:
        distinct, passage_of = np.unique(passages, return_inverse=True)
        return row_products(queries, self.by_passage[distinct], query_of, passage_of)

    def search(self, queries: sp.csr_matrix, k: int, label: str) -> tuple[FloatArray, IntArray]:
        """The k best passages that share a term with each query; ties go to the lower position.

        Each thread takes 8 n bytes, and some 30 for every passage that shares a term with a query.

        Args:
            queries: (Q, V) float64 weights.
            k: Passages per query.
            label: What the progress bar says.

        Returns:
            Scores and positions (Q, k); -inf and -1 where there are fewer.
        """
        scores = np.full((queries.shape[0], k), -np.inf, dtype=np.float32)
        passages = np.full(scores.shape, -1, dtype=np.int64)
        sums = _Sums(self.by_term)

        def fill(start: int) -> int:
            rows = range(start, min(start + QUERIES_AT_ONCE, len(scores)))
            for row in rows:
                entries = slice(queries.indptr[row], queries.indptr[row + 1])
                best, where = sums.best(queries.indices[entries], queries.data[entries], k)
                scores[row, : len(best)], passages[row, : len(best)] = best, where
            return len(rows)

        with progress(label, len(scores), "queries") as bar, one_core_each() as threads:
            for done in threads.map(fill, range(0, len(scores), QUERIES_AT_ONCE)):
                bar.update(done)
        return scores, passages


class Postings(InvertedIndex):
    """An index that scores pairs from its columns too: half the memory, for queries of few terms."""

    def _score(self, queries: sp.csr_matrix, query_of: IntArray, passages: IntArray) -> FloatArray:
        lengths = np.diff(queries.indptr)[query_of].astype(np.int64)
        entries = np.repeat(queries.indptr[query_of], lengths) + numbers_within(lengths)
        weights = self._weights(queries.indices[entries], np.repeat(passages, lengths))
        pairs = np.repeat(np.arange(len(query_of)), lengths)
        products = np.bincount(pairs, weights=weights * queries.data[entries], minlength=len(query_of))
        return products.astype(np.float32)

    def _weights(self, terms: AnyInts, passages: IntArray) -> FloatArray:
        """(E,) weights of terms in passages, 0 where a passage lacks it: all columns are searched at once."""
        index = self.by_term
        if not index.nnz:
            return np.zeros(len(terms), dtype=np.float32)
        low, end = index.indptr[terms].astype(np.int64), index.indptr[terms + 1].astype(np.int64)
        high, last = end.copy(), index.nnz - 1
        for _ in range(int((end - low).max(initial=0)).bit_length()):
            middle = (low + high) // 2
            above = (middle < high) & (index.indices[np.minimum(middle, last)] < passages)
            low, high = np.where(above, middle + 1, low), np.where(above, high, middle)
        place = np.minimum(low, last)
        there = (low < end) & (index.indices[place] == passages)
        return np.where(there, index.data[place], np.float32(0))


class _Sums:
    """Sums of weighted columns of a matrix, added up as scipy's sparse product does, but by several threads.

    Args:
        by_term: (n, V) weights.
    """

    def __init__(self, by_term: sp.csc_matrix) -> None:
        self._indptr, self._size = by_term.indptr, by_term.shape[0]
        # torch lets other threads run meanwhile, scipy does not.
        self._rows, self._weights = tensor_over(by_term.indices), tensor_over(by_term.data)
        self._of_thread = threading.local()

    def best(self, terms: AnyInts, factors: Doubles, k: int) -> tuple[FloatArray, IntArray]:
        """The k highest sums that are not zero, and their rows, the highest first."""
        starts, ends = self._indptr[terms], self._indptr[terms + 1]
        if not (ends > starts).any():
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        columns = [slice(start, end) for start, end in zip(starts.tolist(), ends.tolist())]
        rows = torch.cat([self._rows[column] for column in columns])
        products = torch.cat([self._weights[column] for column in columns]).double()
        if (factors != 1).any():
            products *= torch.from_numpy(np.repeat(factors, ends - starts))
        values, where = self._added(rows, products), rows.numpy()
        # A row stands here once for each of its terms: k of them have k times as many entries at most.
        scores, where = _highest(values, where, k * len(columns))
        where, first = np.unique(where, return_index=True)
        return _best(scores[first], where.astype(np.int64), k)

    def _added(self, rows: torch.Tensor, products: torch.Tensor) -> Doubles:
        """(E,) for every entry the sum of its row."""
        if not hasattr(self._of_thread, "sums"):
            self._of_thread.sums = torch.zeros(self._size, dtype=torch.float64)
        sums: torch.Tensor = self._of_thread.sums
        sums.index_add_(0, rows, products)
        found: Doubles = sums.index_select(0, rows).numpy()
        sums.index_fill_(0, rows.long(), 0.0)
        return found


def row_products(left: sp.csr_matrix, right: sp.csr_matrix, left_rows: IntArray, right_rows: IntArray) -> FloatArray:
    """(P,) inner products of rows of two sparse matrices."""
    products = left[left_rows].multiply(right.astype(np.float64)[right_rows])
    return np.asarray(products.sum(axis=1), dtype=np.float32).ravel()


def _best(scores: FloatArray, positions: IntArray, k: int) -> tuple[FloatArray, IntArray]:
    """The k best of a sparse row; ties go to the lower position."""
    order = np.lexsort((positions, -scores))[:k]
    return scores[order], positions[order]


def _highest(sums: Doubles, rows: AnyInts, k: int) -> tuple[FloatArray, AnyInts]:
    """At least the k highest sums that are not zero, in single precision, and all that equal the last of them."""
    if not sums.all():
        sums, rows = sums[sums != 0], rows[sums != 0]
    scores = sums.astype(np.float32)
    if len(scores) > 4 * k > 0:
        kept = scores >= np.partition(scores, len(scores) - k)[len(scores) - k]
        scores, rows = scores[kept], rows[kept]
    return scores, rows
