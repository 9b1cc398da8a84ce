"""Search of a large corpus in 8-bit integers: a coarse ranking, several times faster than one in float32."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from st_mta.progress import progress
from st_mta.scorers.search import Search, tensor_over
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

# One block's integers, and its products with these queries, fit into a core's cache.
BLOCK_SIZE = 2**11
QUERIES_AT_ONCE = 2**8
# Passages g, g + n, g + 2n, ... of the n groups of a block share a scale, and only their maximum is looked at first.
GROUP = 16
LARGEST = 127
FEWEST_QUERIES, FEWEST_PASSAGES = 2**9, 2**15
"""Below these, turning the corpus into integers costs more than it saves."""
SAMPLE = 2**13, 2**16
"""Passages drawn to guess what the best score, at least and at most; a sixteenth of the corpus in between."""
SPARE = 1.3
"""Rounding leaves close neighbours in doubt, so that so many times the passages asked for are given."""
COARSEST = 2.0
"""A passage so long that it makes its group's scale this many times the usual one would hide its neighbours."""
DEVIATIONS = 3.5
"""Of the sample's luck; a query whose guess was too high is searched exactly."""


_of_thread = threading.local()


def integer_products_are_fast() -> bool:
    """Whether this CPU multiplies 8-bit integers several times faster than float32 (VNNI), and torch lets us."""
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    return hasattr(torch, "_int_mm") and supported is not None and bool(supported())


def integer_search(corpus: Embeddings, exact: Search, block_size: int = BLOCK_SIZE) -> Search:
    """Products of embeddings rounded to 8 bits, for ``search_corpus`` to score again; on the CPU.

    A sample of the corpus says which score somewhat more than the wanted passages of a query will reach, so that all
    others are dropped block by block without being sorted.

    Args:
        corpus: (n, D).
        exact: Takes over where integers do not pay: few queries, few passages, or a large part of them wanted.
        block_size: Passages rounded at once.

    Returns:
        A search that gives up to 1.3 times as many passages as asked for.
    """

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        wanted = int(SPARE * k)
        sampled = min(max(len(corpus) // 16, SAMPLE[0]), SAMPLE[1])
        rank = _rank_in_sample(wanted * sampled / max(len(corpus), 1))
        if len(queries) < FEWEST_QUERIES or len(corpus) < FEWEST_PASSAGES or rank > sampled // GROUP:
            return exact(queries, k)
        sample = np.sort(np.random.default_rng(0).choice(len(corpus), sampled, replace=False))
        found = _search(queries, corpus, tensor_over(corpus.rows(sample)), rank, min(block_size, BLOCK_SIZE))
        if found is None:
            return exact(queries, k)
        scores, positions, enough = found.best(wanted)
        if not enough.all():
            few = np.flatnonzero(~enough)
            scores[few], positions[few] = (part[:, :wanted] for part in exact(queries[few], wanted))
        return scores, positions

    return search


def _rank_in_sample(expected: float) -> int:
    """The rank in a sample that lies, luck aside, below the wanted rank in the corpus.

    Args:
        expected: How many of the wanted passages the sample holds on average: x. The rank r is such that r lies
            ``DEVIATIONS`` of its standard deviations (its root) above x.
    """
    return math.ceil(((DEVIATIONS + math.sqrt(DEVIATIONS**2 + 4 * expected)) / 2) ** 2)


def _search(queries: FloatArray, corpus: Embeddings, sample: Tensor, rank: int, block_size: int) -> _Found | None:
    """All passages that score, roughly, as high as the one with this rank in the sample; None if that is too rough."""
    # Taken from all passages: it moves every score of a query alike, and embeddings that all point one way would
    # lose in the rounding what tells them apart.
    mean = sample.mean(dim=0)
    left = tensor_over(queries)
    scales = _scales(left.abs().amax(dim=1))
    found = _Found(left @ mean, scales)
    rounded = (left / scales[:, None]).round_().to(torch.int8)
    columns = [part.T.contiguous() for part in torch.split(rounded, QUERIES_AT_ONCE)]
    drawn = _round(sample, mean)
    bounds = [_highest(drawn, _products(drawn, part)).topk(rank, dim=0).values[-1] for part in columns]
    with progress("Comparing passages", len(corpus), "passages") as bar, _one_core_each() as cores:
        for places, rows in corpus.sweep(block_size):
            block = _round(tensor_over(rows), mean)
            if block.scales.amax() > COARSEST * drawn.scales.median():
                return None
            compare = partial(_above, block)
            for number, (row, scores, column) in enumerate(cores.map(compare, columns, bounds)):
                found.add(row + number * QUERIES_AT_ONCE, scores, torch.from_numpy(places)[column])
            bar.update(len(rows))
    return found


@contextmanager
def _one_core_each() -> Iterator[ThreadPoolExecutor]:
    """Threads that each run torch on one core: many small steps side by side are faster than each on all cores."""
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            yield threads
    finally:
        torch.set_num_threads(cores)


@dataclass(frozen=True)
class _Block:
    """A block of passages in integers.

    Attributes:
        integers: (GROUP * groups, D) the rounded passages, then padding.
        scales: (groups,) what the integers of each group count.
        length: Passages.
    """

    integers: Tensor
    scales: Tensor
    length: int


def _round(passages: Tensor, mean: Tensor) -> _Block:
    groups = -(-len(passages) // GROUP)
    centred = passages.new_zeros(GROUP * groups, passages.shape[1])
    torch.sub(passages, mean, out=centred[: len(passages)])
    grouped = centred.view(GROUP, groups, -1)
    scales = _scales(torch.maximum(grouped.amax(dim=2), -grouped.amin(dim=2)).amax(dim=0))
    integers = grouped.div_(scales[:, None]).round_().to(torch.int8).view(len(centred), -1)
    return _Block(integers, scales, len(passages))


def _scales(highest: Tensor) -> Tensor:
    """What one step of the integers counts, so that the highest value is the largest integer."""
    return (highest / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)


def _products(block: _Block, queries: Tensor) -> Tensor:
    """(GROUP * groups, Q) products in integers; padding is lower than all."""
    products = _scratch(len(block.integers), queries.shape[1])
    torch._int_mm(block.integers, queries, out=products)
    products[block.length :] = torch.iinfo(torch.int32).min
    return products


def _scratch(rows: int, columns: int) -> Tensor:
    """Memory for products that a thread writes again and again: new pages each time would take as long as they do."""
    size = rows * columns
    if not hasattr(_of_thread, "products") or _of_thread.products.numel() < size:
        _of_thread.products = torch.empty(size, dtype=torch.int32)
    products: Tensor = _of_thread.products[:size].view(rows, columns)
    return products


def _highest(block: _Block, products: Tensor) -> Tensor:
    """(groups, Q) the highest score of each group."""
    return products.view(GROUP, len(block.scales), -1).amax(dim=0) * block.scales[:, None]


def _above(block: _Block, queries: Tensor, bound: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Query, score and place in the block of all that reach the bounds (Q,) of the queries (D, Q)."""
    products = _products(block, queries)
    groups, width = len(block.scales), len(bound)
    promising = (_highest(block, products) >= bound).flatten().nonzero().squeeze(1)
    group, row = promising // width, promising % width
    # NumPy gathers along the last axis several times faster than torch.
    members = torch.from_numpy(np.take(products.view(GROUP, -1).numpy(), promising.numpy(), axis=1))
    scores = (members * block.scales[group]).flatten()
    hits = (scores.view(GROUP, -1) >= bound[row]).flatten().nonzero().squeeze(1)
    member, hit = hits // max(len(promising), 1), hits % max(len(promising), 1)
    return row[hit], scores[hits], member * groups + group[hit]


class _Found:
    """What was found, in the order in which it was.

    Args:
        offsets: (Q,) what is missing in the scores of a query.
        scales: (Q,) what the scores of a query count.
    """

    def __init__(self, offsets: Tensor, scales: Tensor) -> None:
        self.offsets, self.scales = offsets, scales
        self.parts: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, rows: Tensor, scores: Tensor, positions: Tensor) -> None:
        """Notes passages of the queries ``rows``."""
        self.parts.append((rows.to(torch.int16), scores, positions))

    def best(self, k: int) -> tuple[FloatArray, IntArray, npt.NDArray[np.bool_]]:
        """The k best of each query: scores and positions (Q, k), best first; and whether there were so many (Q,)."""
        rows, scores, positions = (torch.cat(part) for part in zip(*self.parts))
        order = torch.from_numpy(np.argsort(rows.numpy(), kind="stable"))
        rows, scores, positions = rows[order].long(), scores[order], positions[order]
        counts = torch.bincount(rows, minlength=len(self.scales))
        place = torch.arange(len(rows)) - (counts.cumsum(0) - counts)[rows]
        table = torch.full((len(counts), max(k, int(counts.max()))), -torch.inf)
        where = torch.zeros(table.shape, dtype=torch.int64)
        table[rows, place], where[rows, place] = scores, positions
        best = table.topk(k, dim=1)
        scores = torch.addcmul(self.offsets[:, None], best.values, self.scales[:, None])
        return scores.numpy(), where.gather(1, best.indices).numpy(), (counts >= k).numpy()
