"""Search of a whole corpus by inner product, the same result from every backend, ties included."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from st_mta.progress import progress
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

Search = Callable[[FloatArray, int], tuple[FloatArray, IntArray]]
"""(Q, D) queries and k -> (Q, k) approximate scores, best first, and positions."""

# Queries searched per pass over the corpus, and scores held at once (512 MB of float32).
QUERIES_PER_PASS = 2**13
SCORES_AT_ONCE = 2**27
PAIRS_AT_ONCE = 2**16
EXTRA = 16
FAISS_QUERIES = 2**10
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
        # What the backend's rounding (far coarser where TF32 is on) did to the passages that were fetched.
        error = np.abs(rough - exact).max(axis=1)
        margin = 4 * error + TOLERANCE * (1 + np.linalg.norm(queries[pending], axis=1))
        settled = (rough[:, k - 1] - rough[:, -1] > margin) | (fetch == len(corpus))
        pending, fetch = pending[~settled], min(4 * fetch, len(corpus))
    return scores, positions


def _products_of_rows(queries: FloatArray, corpus: Embeddings, candidates: IntArray) -> FloatArray:
    width = candidates.shape[1]
    return pair_products(
        lambda rows: queries[rows], corpus.rows, np.repeat(np.arange(len(queries)), width), candidates.ravel()
    ).reshape(candidates.shape)


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


def exact_search(corpus: Embeddings, device: torch.device) -> Search:
    """Matrix products over blocks of the corpus, keeping the best so far; memory does not grow with the corpus."""

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        left = torch.from_numpy(queries).to(device)
        best = torch.full((len(queries), 0), -torch.inf, device=device)
        where = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
        block_size = max(1, SCORES_AT_ONCE // max(1, len(queries)))
        with progress("Comparing passages", len(corpus), "passages") as bar:
            for start, rows in corpus.blocks(min(block_size, 2**16)):
                products = left @ torch.from_numpy(rows).to(device).T
                top, place = products.topk(min(k, len(rows)), dim=1)
                best, where = torch.cat([best, top], dim=1), torch.cat([where, place + start], dim=1)
                best, kept = best.topk(min(k, best.shape[1]), dim=1)
                where = where.gather(1, kept)
                bar.update(len(rows))
        return best.cpu().numpy(), where.cpu().numpy()

    return search


def faiss_search(corpus: Embeddings, device: torch.device) -> Search:
    """A flat FAISS index (inner product) on the CPU; holds the whole corpus in memory, 4 n D bytes."""
    import faiss  # Loading its libraries takes a second that exact search need not pay.

    index = faiss.IndexFlatIP(corpus.dimension)
    for _, rows in corpus.blocks(2**16):
        index.add(rows)

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        found = []
        with progress("Comparing passages", len(queries), "queries") as bar:
            for start in range(0, len(queries), FAISS_QUERIES):
                found.append(index.search(queries[start : start + FAISS_QUERIES], k))
                bar.update(len(found[-1][0]))
        scores, positions = (np.concatenate(part) for part in zip(*found))
        return scores, positions.astype(np.int64)

    return search
