"""What searches a whole corpus by inner product, for ``search_corpus``: exact blocks, or FAISS."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from st_mta.lookup import check_choice, import_extra
from st_mta.progress import progress
from st_mta.search.corpus import Search, tensor_over
from st_mta.search.integer import integer_search
from st_mta.search.integer_products import integer_products_are_fast
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

SCORES_AT_ONCE = 2**27  # scores held at once (512 MB of float32)
GROUP = 32
BLOCK_SIZE = 2**16
MOST_ON_GPU = 2048  # passages per query, a limit of FAISS
FAISS_QUERIES = 2**10


def exact_search(corpus: Embeddings, device: torch.device, block_size: int = BLOCK_SIZE) -> Search:
    """Every passage compared, in blocks, as ``float_search``; where a CPU is faster with integers, in these first."""
    search = float_search(corpus, device, block_size)
    if device.type == "cpu" and integer_products_are_fast():
        return integer_search(corpus, search, block_size)
    return search


def float_search(corpus: Embeddings, device: torch.device, block_size: int = BLOCK_SIZE) -> Search:
    """Matrix products over blocks of the corpus, keeping the best so far; memory does not grow with the corpus.

    With very many queries the blocks are smaller than ``block_size`` passages. On a GPU with room for it the corpus
    stays there from one call to the next.
    """
    blocks = _on_device(corpus, device)

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        left = torch.from_numpy(queries).to(device)
        best = torch.full((len(queries), 0), -torch.inf, device=device)
        where = torch.zeros((len(queries), 0), dtype=torch.int64, device=device)
        fitting = max(1, SCORES_AT_ONCE // max(1, len(queries)))
        with progress("Comparing passages", len(corpus), "passages") as bar:
            for places, rows in blocks(min(block_size, fitting)):
                top, at = best_columns(left @ rows.T, k)
                best, where = torch.cat([best, top], 1), torch.cat([where, places[at]], 1)
                best, kept = best.topk(min(k, best.shape[1]), dim=1)
                where = where.gather(1, kept)
                bar.update(len(rows))
        return best.cpu().numpy(), where.cpu().numpy()

    return search


def _on_device(
    corpus: Embeddings, device: torch.device
) -> Callable[[int], Iterable[tuple[torch.Tensor, torch.Tensor]]]:
    """Gives places and rows of the corpus in blocks of at most so many; what fits is sent to the device once."""
    kept: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def blocks(size: int) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
        if (known := max((made for made in kept if made <= size), default=None)) is not None:
            return kept[known]
        sent = (
            (torch.from_numpy(places).to(device), tensor_over(rows).to(device)) for places, rows in corpus.sweep(size)
        )
        if 4 * len(corpus) * corpus.dimension > room_to_keep(device):
            return sent
        kept.clear()
        kept[size] = list(sent)
        return kept[size]

    return blocks


def room_to_keep(device: torch.device) -> int:
    """Bytes of a device that a corpus may take for as long as it is searched; the CPU reads it from the store."""
    return torch.cuda.mem_get_info(device)[0] // 2 if device.type == "cuda" else 0


def best_columns(scores: torch.Tensor, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The k best columns of each row, in any order.

    ``topk`` alone reads every score slowly. The k best lie within the k groups of columns with the highest maxima, and
    maxima are fast; so only the columns of these groups are compared.

    Returns:
        Scores and column numbers, (Q, min(k, n)) each, of scores (Q, n).
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


def faiss_search(corpus: Embeddings, device: torch.device, block_size: int = BLOCK_SIZE) -> Search:
    """A flat FAISS index (inner product) of the whole corpus, 4 n D bytes; on the GPU where FAISS was built for it.

    ``block_size`` passages are read at once while the index is built.
    """
    faiss = _faiss()
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


def _faiss() -> Any:
    """The module, or ``InputError``; loading its libraries takes a second that exact search need not pay."""
    remedy = "pip install 'st-mta[faiss]' (or 'st-mta[faiss-gpu]'), or use backend='exact'"
    return import_extra("faiss", "FAISS, for the backend 'faiss'", remedy)


BACKENDS: dict[str, Callable[[Embeddings, torch.device, int], Search]] = {"exact": exact_search, "faiss": faiss_search}


def check_backend(backend: str) -> None:
    """Raises ``InputError`` for a backend that is unknown or not installed, before anything is encoded."""
    check_choice("backend", backend, BACKENDS)
    if backend == "faiss":
        _faiss()
