"""How like a query's positives each of its candidates is: what is nearly a positive is hardly a negative."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from st_mta.types import Candidates, FloatArray, IntArray, numbers_within

PAIRS_AT_ONCE = 2**16


def similarity_to_positives(candidates: Candidates, embeddings: Callable[[IntArray], FloatArray]) -> FloatArray:
    """Cosine of each candidate and the positive of its query that is nearest to it.

    As scores of ``drop_false_negatives`` with ``DynamicFilter(absolute_margin=m)`` they leave out every negative whose
    cosine is above 1 - m: in benchmarks/filter this finds more unlabelled positives than any margin of the teacher's
    scores.

    Args:
        candidates: Q queries with P pairs.
        embeddings: Passage positions (n,) -> their embeddings (n, D), of any length.

    Returns:
        (P,) float32 in [-1, 1]: exactly 1 for positives, NaN for the candidates of a query without one.
    """
    rows, positives = candidates.rows, np.flatnonzero(candidates.positive)
    counts = np.bincount(rows[positives], minlength=len(candidates))
    first = np.cumsum(counts) - counts  # of each query's positives, among all positives
    negatives = np.flatnonzero(~candidates.positive & (counts[rows] > 0))
    similarity = np.where(candidates.positive, np.float32(1), np.float32(np.nan))
    times = counts[rows[negatives]]
    other = positives[np.repeat(first[rows[negatives]], times) + numbers_within(times)]
    cosines = _cosines(candidates.passages[np.repeat(negatives, times)], candidates.passages[other], embeddings)
    if len(negatives):
        similarity[negatives] = np.maximum.reduceat(cosines, np.cumsum(times) - times)
    return similarity


def _cosines(left: IntArray, right: IntArray, embeddings: Callable[[IntArray], FloatArray]) -> FloatArray:
    """(n,) cosines of the passages at these positions."""
    cosines = np.empty(len(left), dtype=np.float32)
    for start in range(0, len(left), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        distinct, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
        vectors = embeddings(distinct)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        one, other = np.split(places, 2)
        cosines[part] = np.einsum("pd,pd->p", vectors[one], vectors[other])
    return cosines.clip(-1, 1)
