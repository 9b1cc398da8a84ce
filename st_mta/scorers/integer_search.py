"""Search of a large corpus in 8-bit integers: a coarse ranking, several times faster than one in float32."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm.auto import tqdm

from st_mta.progress import progress
from st_mta.scorers.search import Search, tensor_over
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

# One block's integers, and its products with these queries, fit into a core's cache.
BLOCK_SIZE = 2**11
QUERIES_AT_ONCE = 2**9
# Passages g, g + n, g + 2n, ... of the n groups of a block share a scale, and only their maximum is looked at first.
GROUP = 16
LARGEST = 127
FEWEST_QUERIES, FEWEST_PASSAGES = 2**9, 2**15
"""Below these, turning the corpus into integers costs more than it saves."""
SAMPLE = 2**13, 2**16
"""Passages drawn to guess what the best score, at least and at most; a sixteenth of the corpus in between."""
SPARE = 1.4
"""Rounding leaves close neighbours in doubt, so that so many times the passages asked for are given."""
COARSEST = 2.0
"""A passage so long that it makes its group's scale this many times the usual one would hide its neighbours."""
DEVIATIONS = 3.5
"""Of the sample's luck; a query whose guess was too high is searched exactly."""
BLOCKS_AHEAD = 16
"""Blocks of passages in the hands of the threads."""
FURTHEST = 2**30
"""Beyond every product of two rows of integers, and within what 32 bits hold."""

Result = TypeVar("Result")
_Hits = tuple[IntArray, FloatArray, IntArray]
"""Rows of queries, scores in their steps, positions in the corpus; in any order."""
_Best = tuple[FloatArray, IntArray, npt.NDArray[np.bool_]]

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
        A search that gives up to 1.4 times as many passages as asked for.
    """

    def search(queries: FloatArray, k: int) -> tuple[FloatArray, IntArray]:
        wanted = int(SPARE * k)
        sampled = min(max(len(corpus) // 16, SAMPLE[0]), SAMPLE[1])
        rank = _rank_in_sample(wanted * sampled / max(len(corpus), 1))
        if len(queries) < FEWEST_QUERIES or len(corpus) < FEWEST_PASSAGES or rank > sampled // GROUP:
            return exact(queries, k)
        sample = np.sort(np.random.default_rng(0).choice(len(corpus), sampled, replace=False))
        found = _search(queries, corpus, tensor_over(corpus.rows(sample)), rank, wanted, min(block_size, BLOCK_SIZE))
        if found is None:
            return exact(queries, k)
        scores, positions, enough = found
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


def _search(
    queries: FloatArray, corpus: Embeddings, sample: Tensor, rank: int, k: int, block_size: int
) -> _Best | None:
    """The k best of all that score, roughly, as high as the one with this rank in the sample; None if too rough."""
    # Taken from all passages: it moves every score of a query alike, and embeddings that all point one way would
    # lose in the rounding what tells them apart.
    mean = sample.mean(dim=0)
    drawn = _round(sample, mean)
    coarsest = COARSEST * drawn.scales.median()
    with progress("Comparing passages", len(corpus), "passages") as bar, _one_core_each() as cores:
        parts = list(
            cores.map(partial(_rounded_queries, mean=mean), torch.split(tensor_over(queries), QUERIES_AT_ONCE))
        )
        bounds = list(cores.map(partial(_bounds, drawn, rank), parts))
        compare = partial(_compare, list(zip(parts, bounds)), mean, coarsest)
        hits = []
        for of_block in _ahead(cores, compare, _blocks(corpus, block_size, bar)):
            if of_block is None:
                return None
            hits.append(of_block)
            if len(hits) % BLOCKS_AHEAD == 0:
                corpus.forget()
        scores, positions, enough = zip(*cores.map(partial(_best, k), parts, zip(*hits)))
    return np.concatenate(scores), np.concatenate(positions), np.concatenate(enough)


def _blocks(corpus: Embeddings, size: int, bar: tqdm) -> Iterator[tuple[IntArray, Tensor]]:
    for places, rows in corpus.sweep(size):
        yield places, tensor_over(rows)
        bar.update(len(rows))


def _compare(
    queries: Sequence[tuple[_Queries, Tensor]], mean: Tensor, coarsest: Tensor, places: IntArray, rows: Tensor
) -> list[_Hits] | None:
    """What reaches the bounds, for each part of the queries; None if the block would be rounded too coarsely."""
    block = _round(rows, mean)
    if block.scales.amax() > coarsest:
        return None
    return [_above(block, part, bounds, places) for part, bounds in queries]


@contextmanager
def _one_core_each() -> Iterator[ThreadPoolExecutor]:
    """Threads that each run torch on one core: many small steps side by side are faster than each on all cores."""
    cores = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(cores, initializer=torch.set_num_threads, initargs=(1,)) as threads:
            yield threads
    finally:
        torch.set_num_threads(cores)


def _ahead(
    threads: ThreadPoolExecutor, function: Callable[..., Result], items: Iterable[tuple[Any, ...]]
) -> Iterator[Result]:
    """Results in order; only so many items are taken in advance as keep the threads busy."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(threads.submit(function, *item))
        if len(waiting) > BLOCKS_AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


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


@dataclass(frozen=True)
class _Queries:
    """Some queries in integers.

    Attributes:
        integers: (D, Q).
        scales: (Q,) what the integers of each query count.
        offsets: (Q,) what the scores of each query lack.
    """

    integers: Tensor
    scales: FloatArray
    offsets: FloatArray


def _rounded_queries(queries: Tensor, mean: Tensor) -> _Queries:
    scales = _scales(queries.abs().amax(dim=1))
    integers = (queries / scales[:, None]).round_().to(torch.int8).T.contiguous()
    return _Queries(integers, scales.numpy(), (queries @ mean).numpy())


def _scales(highest: Tensor) -> Tensor:
    """What one step of the integers counts, so that the highest value is the largest integer."""
    return (highest / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)


def _products(block: _Block, queries: _Queries) -> Tensor:
    """(GROUP, groups, Q) products in integers; padding is lower than all."""
    products = _scratch(len(block.integers), queries.integers.shape[1])
    torch._int_mm(block.integers, queries.integers, out=products)
    products[block.length :] = torch.iinfo(torch.int32).min
    return products.view(GROUP, len(block.scales), -1)


def _scratch(rows: int, columns: int) -> Tensor:
    """Memory for products that a thread writes again and again: new pages each time would take as long as they do."""
    size = rows * columns
    if not hasattr(_of_thread, "products") or _of_thread.products.numel() < size:
        _of_thread.products = torch.empty(size, dtype=torch.int32)
    products: Tensor = _of_thread.products[:size].view(rows, columns)
    return products


def _bounds(sample: _Block, rank: int, queries: _Queries) -> Tensor:
    """(Q,) the score, in steps of each query, of the group of the sample with this rank."""
    highest = _products(sample, queries).amax(dim=0) * sample.scales[:, None]
    return highest.T.contiguous().topk(rank, dim=1).values[:, -1]


def _above(block: _Block, queries: _Queries, bounds: Tensor, places: IntArray) -> _Hits:
    """All passages of a block (its places in the corpus) that reach the bounds of the queries (Q,)."""
    products = _products(block, queries)
    least = (bounds / block.scales[:, None]).ceil_().clamp_(-FURTHEST, FURTHEST).to(torch.int32).flatten().numpy()
    promising = np.flatnonzero(products.amax(dim=0).flatten().numpy() >= least)
    members = products.view(GROUP, -1).numpy().take(promising, axis=1)
    member, hit = np.divmod(np.flatnonzero(members >= least.take(promising)), max(len(promising), 1))
    group, row = np.divmod(promising.take(hit), len(bounds))
    scores = members[member, hit] * block.scales.numpy().take(group)
    return row, scores.astype(np.float32), places.take(member * len(block.scales) + group)


def _best(k: int, queries: _Queries, hits: Iterable[_Hits]) -> _Best:
    """The k best of each query: scores and positions (Q, k), best first; and whether there were so many (Q,)."""
    rows, scores, positions = (np.concatenate(part) for part in zip(*hits))
    order = np.argsort(rows.astype(np.int16), kind="stable")
    counts = np.bincount(rows, minlength=len(queries.scales))
    found = np.arange(max(k, counts.max())) < counts[:, None]
    table = np.full(found.shape, -np.inf, dtype=np.float32)
    where = np.zeros(found.shape, dtype=np.int64)
    table[found], where[found] = scores[order], positions[order]
    best = torch.from_numpy(table).topk(k, dim=1)
    chosen = np.take_along_axis(where, best.indices.numpy(), axis=1)
    return best.values.numpy() * queries.scales[:, None] + queries.offsets[:, None], chosen, counts >= k
