"""Search of a whole corpus by inner product, the same result from every backend, ties included."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from st_mta.progress import progress
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

Search = Callable[[FloatArray, int], tuple[FloatArray, IntArray]]
"""(Q, D) queries and k -> (Q, at least k) approximate scores, best first, and positions."""

# Queries searched per pass over the corpus.
QUERIES_PER_PASS = 2**13
PAIRS_AT_ONCE = 2**16
# Rows of candidates gathered at once: few enough for the processor's cache.
CANDIDATES_AT_ONCE = 2**11
EXTRA = 16
# Rounding of two float32 sums over the same products in different order, relative to the norms.
TOLERANCE = 1e-5


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
            scores[block, :found], positions[block, :found] = _search_block(rows, corpus, found, search)
            bar.update(len(rows))
    return scores, positions


def _search_block(queries: FloatArray, corpus: Embeddings, k: int, search: Search) -> tuple[FloatArray, IntArray]:
    scores = np.empty((len(queries), k), dtype=np.float32)
    positions = np.empty((len(queries), k), dtype=np.int64)
    pending, fetch = np.arange(len(queries)), min(k + EXTRA, len(corpus))
    while len(pending):
        rough, candidates = search(queries[pending], fetch)
        exact = _products_of_rows(queries[pending], corpus, candidates)
        order = np.lexsort((candidates, -exact))[:, :k]
        scores[pending] = np.take_along_axis(exact, order, axis=1)
        positions[pending] = np.take_along_axis(candidates, order, axis=1)
        # Integers, and TF32, round coarsely. No other passage can reach the k-th if none is rounded more than twice as
        # badly as those that were fetched.
        error = np.abs(rough - exact).max(axis=1)
        margin = 2 * error + TOLERANCE * (1 + np.linalg.norm(queries[pending], axis=1))
        settled = (scores[pending, -1] - rough[:, -1] > margin) | (candidates.shape[1] >= len(corpus))
        pending, fetch = pending[~settled], min(4 * fetch, len(corpus))
    return scores, positions


def _products_of_rows(queries: FloatArray, corpus: Embeddings, candidates: IntArray) -> FloatArray:
    """Inner products (Q, K) of each query with its candidates, the same bits as ``pair_products`` gives.

    Passage by passage, whosever candidate it is: the corpus is swept once, and the queries stay in the cache.
    """
    passages = candidates.ravel()
    order = np.argsort(passages, kind="stable")
    products = np.empty(len(passages), dtype=np.float32)

    def multiply(start: int) -> None:
        pairs = order[start : start + CANDIDATES_AT_ONCE]
        rows = corpus.rows(passages[pairs])
        products[pairs] = np.einsum("pd,pd->p", rows, queries[pairs // candidates.shape[1]])

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(multiply, range(0, len(passages), CANDIDATES_AT_ONCE)))
    return products.reshape(candidates.shape)


def pair_products(
    query_rows: Callable[[IntArray], FloatArray],
    passage_rows: Callable[[IntArray], FloatArray],
    queries: IntArray,
    passages: IntArray,
) -> FloatArray:
    """Inner products of P pairs, each summed in the same order wherever the pair stands.

    Args:
        query_rows: Gives the embeddings at some places.
        passage_rows: The same for passages.
        queries: (P,) places of queries.
        passages: (P,) places of passages.

    Returns:
        (P,) float32.
    """
    products = np.empty(len(queries), dtype=np.float32)
    for start in range(0, len(queries), PAIRS_AT_ONCE):
        part = slice(start, start + PAIRS_AT_ONCE)
        distinct_queries, query_of = np.unique(queries[part], return_inverse=True)
        distinct_passages, passage_of = np.unique(passages[part], return_inverse=True)
        left, right = query_rows(distinct_queries), passage_rows(distinct_passages)
        products[part] = np.einsum("pd,pd->p", left[query_of], right[passage_of])
    return products


def tensor_over(rows: FloatArray) -> torch.Tensor:
    """A tensor over the same memory; it is only read, so that it may be a read-only map of a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(rows)
