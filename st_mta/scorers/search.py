"""Search of a whole corpus by inner product, the same result from every backend, ties included."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

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
GROUP = 32
BLOCK_SIZE = 2**16
MOST_ON_GPU = 2048  # passages per query, a limit of FAISS
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
    """Inner products (Q, K) of each query with its candidates, the same bits as ``pair_products`` gives."""
    products = np.empty(candidates.shape, dtype=np.float32)
    step = max(1, PAIRS_AT_ONCE // candidates.shape[1])

    def multiply(start: int) -> None:
        part = candidates[start : start + step]
        rows = corpus.rows(part.ravel()).reshape(*part.shape, -1)
        products[start : start + step] = np.einsum("qkd,qd->qk", rows, queries[start : start + step])

    with ThreadPoolExecutor(torch.get_num_threads()) as threads:
        list(threads.map(multiply, range(0, len(candidates), step)))
    return products


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


def exact_search(corpus: Embeddings, device: torch.device, block_size: int = BLOCK_SIZE) -> Search:
    """Matrix products over blocks of the corpus, keeping the best so far; memory does not grow with the corpus.

    Args:
        corpus: (n, D).
        device: Where to multiply.
        block_size: Passages compared at once (fewer for very many queries).
    """

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        left = torch.from_numpy(queries).to(device)
        best = torch.full((len(queries), 0), -torch.inf, device=device)
        where = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
        fitting = max(1, SCORES_AT_ONCE // max(1, len(queries)))
        with progress("Comparing passages", len(corpus), "passages") as bar:
            for places, rows in corpus.sweep(min(block_size, fitting)):
                top, at = best_columns(left @ _tensor(rows).to(device).T, k)
                best, where = torch.cat([best, top], 1), torch.cat([where, torch.from_numpy(places).to(device)[at]], 1)
                best, kept = best.topk(min(k, best.shape[1]), dim=1)
                where = where.gather(1, kept)
                bar.update(len(rows))
        return best.cpu().numpy(), where.cpu().numpy()

    return search


def best_columns(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best columns of each row, in any order.

    ``topk`` alone reads every score slowly. The k best lie within the k groups of columns with the highest maxima, and
    maxima are fast; so only the columns of these groups are compared.

    Args:
        scores: (Q, n).
        k: How many.

    Returns:
        Scores and column numbers, (Q, min(k, n)) each.
    """
    groups = scores.shape[1] // GROUP
    if groups < 4 * k:
        best = scores.topk(min(k, scores.shape[1]), dim=1, sorted=False)
        return best.values, best.indices
    grouped = scores[:, : groups * GROUP].view(-1, groups, GROUP)
    chosen = grouped.amax(dim=2).topk(k, dim=1, sorted=False).indices
    inside = grouped.gather(1, chosen.unsqueeze(2).expand(-1, -1, GROUP)).flatten(1)
    best = torch.cat([inside, scores[:, groups * GROUP :]], dim=1).topk(k, dim=1, sorted=False)
    group, offset = best.indices // GROUP, best.indices % GROUP
    # Places beyond the chosen groups are the columns left over at the end.
    start = torch.where(group < k, chosen.gather(1, group.clamp(max=k - 1)) * GROUP, (groups + group - k) * GROUP)
    return best.values, start + offset


def _tensor(rows: FloatArray) -> torch.Tensor:
    """A tensor over the same memory; it is only read, so that it may be a read-only map of a file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(rows)


def faiss_search(corpus: Embeddings, device: torch.device, block_size: int = BLOCK_SIZE) -> Search:
    """A flat FAISS index (inner product) of the whole corpus, 4 n D bytes; on the GPU where FAISS was built for it.

    Args:
        corpus: (n, D).
        device: A GPU's number, or the CPU.
        block_size: Passages read at once while the index is built.
    """
    import faiss  # Loading its libraries takes a second that exact search need not pay.

    index: Any = faiss.IndexFlatIP(corpus.dimension)
    for _, rows in corpus.blocks(block_size):
        index.add(rows)
    fast = index
    if device.type == "cuda" and hasattr(faiss, "StandardGpuResources"):
        fast = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), device.index or 0, index)

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        chosen = fast if k <= MOST_ON_GPU else index
        found = []
        with progress("Comparing passages", len(queries), "queries") as bar:
            for start in range(0, len(queries), FAISS_QUERIES):
                found.append(chosen.search(queries[start : start + FAISS_QUERIES], k))
                bar.update(len(found[-1][0]))
        scores, positions = (np.concatenate(part) for part in zip(*found))
        return scores, positions.astype(np.int64)

    return search
