"""The weights of BM25, entry by entry (Kamphuis et al. 2020, table 1), in the arithmetic of bm25s to the last bit."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from st_mta.scorers.term_counts import TermCounts
from st_mta.types import FloatArray, IntArray

ENTRIES_AT_ONCE = 2**21  # whose weights are computed in double precision at the same time

Doubles = npt.NDArray[np.float64]


def _robertson_rarity(df: int, n: int) -> float:
    return math.log(max((n - df + 0.5) / (df + 0.5), 1))


def _lucene_rarity(df: int, n: int) -> float:
    return math.log(1 + (n - df + 0.5) / (df + 0.5))


def _atire_rarity(df: int, n: int) -> float:
    return math.log(n / df)


RARITIES: dict[str, Callable[[int, int], float]] = {
    "lucene": _lucene_rarity,
    "robertson": _robertson_rarity,
    "atire": _atire_rarity,
}
"""By method: the weight of a term that ``df`` of ``n`` passages have."""


def term_weights(terms: TermCounts, method: str, k1: float, b: float) -> sp.csc_matrix:
    """(n, V) float32 weights: how rare the term is, times how much a passage of this length is about it."""
    counts, weights = terms.by_term, np.empty(terms.by_term.nnz, dtype=np.float32)
    rarities, mean = _rarities(counts, method), terms.lengths.mean() if len(terms.lengths) else 0.0
    for start in range(0, len(weights), ENTRIES_AT_ONCE):
        part = slice(start, min(start + ENTRIES_AT_ONCE, len(weights)))
        lengths = terms.lengths[counts.indices[part]]
        frequencies = counts.data[part].astype(np.float32)
        weights[part] = rarities[_columns(counts, part)] * _saturation(frequencies, lengths, mean, method, k1, b)
    return sp.csc_matrix((weights, counts.indices, counts.indptr), shape=counts.shape)


def _rarities(counts: sp.csc_matrix, method: str) -> FloatArray:
    """(V,) by term. The logarithm is the standard library's: numpy's may differ in the last bit."""
    found, which = np.unique(np.diff(counts.indptr), return_inverse=True)
    rarity, n = RARITIES[method], counts.shape[0]
    of_df = [rarity(df, n) if df else 0.0 for df in found.tolist()]
    return np.asarray(of_df, dtype=np.float32)[which]


def _saturation(frequencies: FloatArray, lengths: IntArray, mean: float, method: str, k1: float, b: float) -> Doubles:
    norms = k1 * ((1 - b) + b * lengths / mean)
    if method == "atire":
        # One factor in single precision, as there.
        return np.asarray(frequencies * np.float32(k1 + 1) / (frequencies + norms))
    return np.asarray(frequencies / (norms + frequencies))


def _columns(matrix: sp.csc_matrix, part: slice) -> IntArray:
    """The column of each of these entries."""
    first, last = np.searchsorted(matrix.indptr, [part.start, part.stop - 1], side="right") - 1
    bounds: IntArray = np.clip(matrix.indptr[first : last + 2].astype(np.int64), part.start, part.stop)
    return np.repeat(np.arange(first, last + 1), bounds[1:] - bounds[:-1])
