"""Search of a whole corpus by inner product, the same result from every backend, ties included."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from st_mta.progress import progress
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray, offsets_of

Search = Callable[[FloatArray, int], tuple[FloatArray, IntArray]]
"""(Q, D) queries and k -> (Q, at least k) approximate scores, best first, and positions."""

QUERIES_PER_PASS = 2**13  # queries searched per pass over the corpus
PAIRS_AT_ONCE = 2**16
EXTRA = 16
# Where many passages are equally good, all of them are fetched, for so many queries at once as memory allows.
CANDIDATES_AT_ONCE = 2**24
TOLERANCE = 1e-5  # rounding of two float32 sums over the same products in different order, relative to the norms


def search_corpus(queries: Embeddings, corpus: Embeddings, k: int, search: Search) -> tuple[FloatArray, IntArray]:
    """The k best passages of each query; equal scores go to the lower position.

    Backends round differently and break ties as they please. So a few more passages than k are fetched, scored again
    pair by pair in one fixed way, and sorted by score and position; where the last fetched is too close to the k-th
    to rule out others, more are fetched.

    Args:
        queries: (Q, D).
        corpus: (n, D).
        k: Passages per query; rows are filled with position -1 and score -inf if n < k.
        search: The backend.

    Returns:
        Scores (Q, k) float32 and positions (Q, k) int64.
    """
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    positions = np.full((len(queries), k), -1, dtype=np.int64)
    found = min(k, len(corpus))
    if found == 0:
        return scores, positions
    with progress("Searching", len(queries), "queries") as bar:
        for start, rows in queries.blocks(QUERIES_PER_PASS):
            block = slice(start, start + len(rows))
            scores[block, :found], positions[block, :found] = _search_block(rows, corpus, found, search, found + EXTRA)
            bar.update(len(rows))
    return scores, positions


def _search_block(
    queries: FloatArray, corpus: Embeddings, k: int, search: Search, fetch: int
) -> tuple[FloatArray, IntArray]:
    """The k best of each query (Q, k), from at least ``fetch`` candidates."""
    rough, candidates = search(queries, min(fetch, len(corpus)))
    rows = np.repeat(np.arange(len(queries)), candidates.shape[1])
    exact = pair_products(queries.__getitem__, corpus.rows, rows, candidates.ravel()).reshape(candidates.shape)
    order = np.lexsort((candidates, -exact))[:, :k]
    scores, positions = np.take_along_axis(exact, order, axis=1), np.take_along_axis(candidates, order, axis=1)
    # Integers, and TF32, round coarsely. No other passage can reach the k-th if none is rounded more than twice as
    # badly as those that were fetched.
    error = np.abs(rough - exact).max(axis=1)
    margin = 2 * error + TOLERANCE * (1 + np.linalg.norm(queries, axis=1))
    settled = (scores[:, -1] - rough[:, -1] > margin) | (candidates.shape[1] >= len(corpus))
    fetch, unsettled = 4 * fetch, np.flatnonzero(~settled)
    at_once = max(1, CANDIDATES_AT_ONCE // fetch)
    for start in range(0, len(unsettled), at_once):
        part = unsettled[start : start + at_once]
        scores[part], positions[part] = _search_block(queries[part], corpus, k, search, fetch)
    return scores, positions


def pair_products(
    query_rows: Callable[[IntArray], FloatArray],
    passage_rows: Callable[[IntArray], FloatArray],
    queries: IntArray,
    passages: IntArray,
) -> FloatArray:
    """Inner products of P pairs, each summed in the same order wherever the pair stands.

    Args:
        query_rows, passage_rows: Give the embeddings at some places; passages are read once, in ascending order.
        queries, passages: (P,) places.

    Returns:
        (P,) float32.
    """
    products = np.empty(len(queries), dtype=np.float32)
    by_passage = torch.from_numpy(passages).argsort().numpy()

    def multiply(start: int) -> None:
        pairs = by_passage[start : start + PAIRS_AT_ONCE]
        distinct_queries, query_of = np.unique(queries[pairs], return_inverse=True)
        distinct_passages, counts = np.unique(passages[pairs], return_counts=True)
        left, right = passage_rows(distinct_passages), query_rows(distinct_queries)
        products[pairs] = _products_where(left, right, counts, query_of)

    beta = "Sparse CSR tensor support is in beta"
    with _without_warnings(beta), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(multiply, range(0, len(queries), PAIRS_AT_ONCE)))
    return products


def _products_where(left: FloatArray, right: FloatArray, counts: IntArray, columns: IntArray) -> FloatArray:
    """(P,) products of (M, D) rows with (N, D) rows: of ``left[0]`` with the first ``counts[0]`` columns, and so on.

    The columns (P,) are rows of ``right``; P is the sum of the counts (M,).
    """
    if len(columns) > len(left) * len(right):  # Some pair is there twice, and torch keeps no more than the matrix has.
        right, columns = right[columns], np.arange(len(columns))
    places = torch.sparse_csr_tensor(
        torch.from_numpy(offsets_of(counts)),
        torch.from_numpy(columns),
        torch.zeros(len(columns)),
        (len(left), len(right)),
        check_invariants=False,  # They ask for ascending columns, which the product does not need.
    )
    torch.sparse.sampled_addmm(places, torch.from_numpy(left), torch.from_numpy(right).T, beta=0, out=places)
    products: FloatArray = places.values().numpy()
    return products


def tensor_over(rows: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor over the same memory; it is only read, so that it may be a read-only map of a file."""
    with _without_warnings("The given NumPy array is not writable"):
        return torch.from_numpy(rows)


@contextmanager
def _without_warnings(message: str) -> Iterator[None]:
    """For the main thread: filters of warnings are all threads'."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message)
        yield
