"""Batches of queries that share passages: a passage listed for several of them is encoded once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.compute as pc
from datasets import Dataset
from scipy import sparse
from sentence_transformers.base.sampler import BatchSamplers, DefaultBatchSampler

from st_mta.errors import InputError
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.types import FloatArray, IntArray, numbers_within, offsets_of

SHARING = "sharing"
QUERIES_PER_POOL = 1024
"""Queries among which batches are grown. Larger pools share more, and repeat themselves from epoch to epoch: on
openbookqa (16 passages per query, batches of 32; shuffled .81) distinct passages are .39 of the listed ones in the
order by hashes alone, .32 with pools of 1024 and .28 with one pool of all 4878 queries; two queries of a batch meet
again in the next epoch with a probability of .08, .16 and .35."""
KEPT_APART = -1e6
"""For the same query drawn twice: less than any number of shared passages, and exact beside them in float32."""


def order_of_batches(arguments: MultiAssistantTrainingArguments) -> dict[str, Any]:
    """What ``batches`` changes in the arguments of an iteration's training.

    Raises:
        InputError: If the host's ``batch_sampler`` asks for another order.
    """
    if arguments.batches != SHARING:
        return {}
    if arguments.batch_sampler != BatchSamplers.BATCH_SAMPLER:
        raise InputError(
            expected=f"one order of the queries: batches={SHARING!r}, or a batch_sampler",
            got=f"both, batch_sampler={arguments.batch_sampler!r}",
            remedy="leave one of them out",
        )
    return {"batch_sampler": SharingBatchSampler}


class SharingBatchSampler(DefaultBatchSampler):
    """Shuffled batches of queries whose lists have passages in common, for rows of `listwise_dataset`.

    In each epoch the queries are sorted by min-hashes of their lists under a new random numbering of the passages
    (the smallest number is the same for two lists with the probability |A and B| / |A or B|: Broder, "On the
    resemblance and containment of documents", 1997). The order is cut into pools, and in these batches are grown by
    shared passages. Every row comes once; as with the host, the last batch may be smaller, here one of rows drawn at
    random. Rows of the same query are kept apart, as far as the pool has others.
    """

    def __init__(self, dataset: Dataset, **options: Any) -> None:
        super().__init__(dataset, **options)
        table = dataset.select_columns(["query_position", "passages"]).with_format("arrow")[:]
        self.query_positions = table["query_position"].to_numpy()
        self.offsets = offsets_of(pc.list_value_length(table["passages"]).to_numpy())
        distinct, self.passages = np.unique(pc.list_flatten(table["passages"]).to_numpy(), return_inverse=True)
        self.num_passages = len(distinct)

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, getattr(self, "epoch", 0)])
        rows = random.permutation(len(self.query_positions))
        batches = self._batches(rows[: len(rows) - len(rows) % self.batch_size], random)
        for index in random.permutation(len(batches)):
            yield batches[index].tolist()
        if not self.drop_last and (rest := rows[len(batches) * self.batch_size :]).size:
            yield rest.tolist()

    def _batches(self, rows: IntArray, random: np.random.Generator) -> IntArray:
        """(K, B) the rows, a multiple of B of them, in batches that share."""
        first, second = (self._min_hash(random)[rows] for _ in range(2))
        rows = rows[np.lexsort((second, first))]
        size = self.batch_size * max(1, QUERIES_PER_POOL // self.batch_size)
        pools = [rows[start : start + size] for start in range(0, len(rows), size)]
        grown = [pool[grow_batches(self._shared(pool), self.batch_size)] for pool in pools]
        return np.concatenate([np.empty((0, self.batch_size), dtype=np.int64), *grown])

    def _min_hash(self, random: np.random.Generator) -> IntArray:
        """(Q,) smallest number in each list, under a random numbering of the passages."""
        numbers = random.permutation(self.num_passages)
        smallest = np.full(len(self.query_positions), self.num_passages)
        listed = np.diff(self.offsets) > 0
        smallest[listed] = np.minimum.reduceat(numbers[self.passages], self.offsets[:-1][listed])
        return smallest

    def _shared(self, pool: IntArray) -> FloatArray:
        """(M, M) number of passages that two rows have in common."""
        lengths = np.diff(self.offsets)[pool]
        flat = np.repeat(self.offsets[pool], lengths) + numbers_within(lengths)
        distinct, columns = np.unique(self.passages[flat], return_inverse=True)
        ones = np.ones(len(columns), dtype=np.float32)
        lists = sparse.csr_matrix((ones, columns, offsets_of(lengths)), shape=(len(pool), len(distinct)))
        shared: FloatArray = (lists @ lists.T).toarray()
        queries = self.query_positions[pool]
        shared[queries[:, None] == queries] = KEPT_APART
        return shared


def grow_batches(shared: FloatArray, size: int) -> IntArray:
    """Batches that begin with the first row left and take, one by one, the row that shares most with those in it.

    Args:
        shared: (M, M) passages in common; M is a multiple of ``size``.
        size: Rows per batch.

    Returns:
        (M / size, size) rows.
    """
    batches = np.empty((len(shared) // size, size), dtype=np.int64)
    taken = np.zeros(len(shared), dtype=np.float32)  # -inf once a row is in a batch
    for batch in batches:
        with_batch = taken.copy()
        for place in range(size):
            batch[place] = row = with_batch.argmax()
            with_batch += shared[row]
            taken[row] = with_batch[row] = -np.inf
    return batches
