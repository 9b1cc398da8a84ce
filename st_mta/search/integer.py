"""Search of a large corpus in 8-bit integers: a coarse ranking, several times faster than one in float32."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm.auto import tqdm

from st_mta.progress import progress
from st_mta.search.corpus import Search, tensor_over
from st_mta.search.integer_products import (
    GROUP,
    RoundedPassages,
    RoundedQueries,
    integer_products,
    round_passages,
    round_queries,
)
from st_mta.search.threads import one_core_each
from st_mta.stores.embeddings import Embeddings
from st_mta.types import FloatArray, IntArray

BLOCK_SIZE, QUERIES_AT_ONCE = 2**11, 2**9  # passages and queries whose products fit into a core's caches
BLOCKS_AHEAD = 16  # blocks of passages in the hands of the threads
FEWEST_QUERIES, FEWEST_PASSAGES = 2**9, 2**15  # below these, turning the corpus into integers costs more than it saves
SAMPLE = 2**13, 2**16
"""Passages drawn to guess what the best score, at least and at most; a sixteenth of the corpus in between."""
DEVIATIONS = 3.5  # of the sample's luck; a query whose guess was too high is searched exactly
SPARE = 1.4  # rounding leaves close neighbours in doubt, so that so many times the passages asked for are given
COARSEST = 2.0
"""A passage so long that it makes its group's scale this many times the usual one would hide its neighbours."""
MOST_HITS = 32
"""Times the passages wanted; where so many are as good (copies of one text, say), memory would not hold them all."""
FURTHEST = 2**30  # beyond every product of two rows of integers, and within what 32 bits hold

_Hits = tuple[npt.NDArray[np.int16], FloatArray, IntArray]
"""Rows of queries, scores in their steps, positions in the corpus; in any order."""
_Best = tuple[FloatArray, IntArray, npt.NDArray[np.bool_]]


def integer_search(corpus: Embeddings, exact: Search, block_size: int = BLOCK_SIZE) -> Search:
    """Products of embeddings rounded to 8 bits, for ``search_corpus`` to score again; on the CPU.

    A sample of the corpus says which score somewhat more than the wanted passages of a query will reach, so that all
    others are dropped block by block without being sorted.

    ``exact`` takes over where integers do not pay: few queries, few passages, or a large part of them wanted.

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
    """The rank in a sample, ``DEVIATIONS`` times its root above the number of wanted passages expected there."""
    return math.ceil(((DEVIATIONS + math.sqrt(DEVIATIONS**2 + 4 * expected)) / 2) ** 2)


def _search(
    queries: FloatArray, corpus: Embeddings, sample: Tensor, rank: int, k: int, block_size: int
) -> _Best | None:
    """The k best of all that score, roughly, as high as the one with this rank in the sample; None if too rough."""
    # Taken from all passages: it moves every score of a query alike, and embeddings that all point one way would
    # lose in the rounding what tells them apart.
    mean = sample.mean(dim=0)
    drawn = round_passages(sample, mean)
    coarsest = COARSEST * drawn.scales.median()
    with progress("Comparing passages", len(corpus), "passages") as bar, one_core_each() as cores:
        split = torch.split(tensor_over(queries), QUERIES_AT_ONCE)
        parts = list(cores.map(partial(round_queries, mean=mean), split))
        bounds = list(cores.map(partial(_bounds, drawn, rank), parts))
        compare = partial(_compare, list(zip(parts, bounds)), mean, coarsest)
        blocks = (cores.submit(compare, *block) for block in _blocks(corpus, block_size, bar))
        hits = _all_or_none(blocks, corpus.forget, MOST_HITS * k * len(queries))
        if hits is None:
            return None
        scores, positions, enough = zip(*cores.map(partial(_best, k), parts, zip(*hits)))
    return np.concatenate(scores), np.concatenate(positions), np.concatenate(enough)


def _all_or_none(
    blocks: Iterator[Future[list[_Hits] | None]], forget: Callable[[], None], most: int
) -> list[list[_Hits]] | None:
    """The hits of all blocks; None if one is too coarse or there are more than may be kept."""
    hits: list[list[_Hits]] = []
    waiting = deque(islice(blocks, BLOCKS_AHEAD + 1))  # no more blocks in advance than keep the threads busy
    while waiting:
        of_block = waiting.popleft().result()
        waiting.extend(islice(blocks, 1))
        if of_block is None or (most := most - sum(len(rows) for rows, _, _ in of_block)) < 0:
            return None
        hits.append(of_block)
        if len(hits) % BLOCKS_AHEAD == 0:
            forget()
    return hits


def _blocks(corpus: Embeddings, size: int, bar: tqdm) -> Iterator[tuple[IntArray, Tensor]]:
    for places, rows in corpus.sweep(size):
        yield places, tensor_over(rows)
        bar.update(len(rows))


def _compare(
    queries: Sequence[tuple[RoundedQueries, Tensor]], mean: Tensor, coarsest: Tensor, places: IntArray, rows: Tensor
) -> list[_Hits] | None:
    """What reaches the bounds, for each part of the queries; None if the block would be rounded too coarsely."""
    block = round_passages(rows, mean)
    if block.scales.amax() > coarsest:
        return None
    return [_above(block, part, bounds, places) for part, bounds in queries]


def _bounds(sample: RoundedPassages, rank: int, queries: RoundedQueries) -> Tensor:
    """(Q,) the score, in steps of each query, of the group of the sample with this rank."""
    highest = integer_products(sample, queries).amax(dim=0) * sample.scales[:, None]
    return highest.T.contiguous().topk(rank, dim=1).values[:, -1]


def _above(block: RoundedPassages, queries: RoundedQueries, bounds: Tensor, places: IntArray) -> _Hits:
    """All passages of a block, of these places in the corpus, that reach the bounds (Q,) of the queries."""
    products = integer_products(block, queries)
    least = (bounds / block.scales[:, None]).ceil_().clamp_(-FURTHEST, FURTHEST).to(torch.int32).flatten().numpy()
    # NumPy finds and takes several times faster than torch.
    promising = np.flatnonzero(products.amax(dim=0).flatten().numpy() >= least)
    members = products.view(GROUP, -1).numpy().take(promising, axis=1)
    member, hit = np.divmod(np.flatnonzero(members >= least.take(promising)), max(len(promising), 1))
    group, row = np.divmod(promising.take(hit), len(bounds))
    scores = members[member, hit] * block.scales.numpy().take(group)
    position = places.take(member * len(block.scales) + group)
    return row.astype(np.int16), scores.astype(np.float32), position


def _best(k: int, queries: RoundedQueries, hits: Iterable[_Hits]) -> _Best:
    """The k best of each query: scores and positions (Q, k), best first; and whether there were so many (Q,)."""
    rows, scores, positions = (np.concatenate(part) for part in zip(*hits))
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=len(queries.scales))
    found = np.arange(max(k, counts.max())) < counts[:, None]
    table = np.full(found.shape, -np.inf, dtype=np.float32)
    where = np.zeros(found.shape, dtype=np.int64)
    table[found], where[found] = scores[order], positions[order]
    best = torch.from_numpy(table).topk(k, dim=1)
    chosen = np.take_along_axis(where, best.indices.numpy(), axis=1)
    return best.values.numpy() * queries.scales[:, None] + queries.offsets[:, None], chosen, counts >= k
