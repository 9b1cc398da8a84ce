"""A process's share of a mean over the rows of all processes that train together.

Data-parallel training takes the mean of the processes' gradients. Where they hold other numbers of rows that count, a
mean over each one's own rows would weigh the same query more in one process than in another: so sums are divided by
the mean number of rows, and the mean of what comes out is the mean over all rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from sentence_transformers.util.distributed import all_gather, get_rank
from torch import Tensor, distributed
from torch.nn import functional as F

from st_mta.losses.batch import ListwiseBatch
from st_mta.over_processes import num_processes, summed

UNKNOWN = -1
"""Number of a row of which nothing says whether another process has it too."""


def mean_counts(*rows: Tensor) -> Tensor:
    """What sums over rows are to be divided by, one number for each selection of rows.

    One collective; none where there is one process, or nothing is trained.

    Args:
        rows: Which rows count, (n,) bool or weights.

    Returns:
        (len(rows),) the number of rows, as a mean over the processes: those of all make at least 1.
    """
    counts = torch.stack([each.sum(dtype=torch.float32) for each in rows])
    if not torch.is_grad_enabled():
        return counts.clamp(min=1)
    return summed(counts).clamp(min=1) / num_processes()


class Copies:
    """Which rows of all processes are the same: two of them may list the same passage.

    Rows are this process's n, and behind them those of the others, padded to the longest. All processes have to make
    it together.

    Args:
        ids: (n,) int64, equal for equal rows of all processes, each of them once per process; ``UNKNOWN`` has none.
        valid: (n,) bool; whatever the loss wants to know of a row in any process.

    Attributes:
        longest: The most rows of a process.
        times: (n,) how many processes have this row.
        first: (n + V,) bool: the row is no padding, and none of those before it is the same.
        valid: (n + V,) bool: the row or another that is the same is valid.
    """

    def __init__(self, ids: Tensor, valid: Tensor) -> None:
        size = len(ids)
        table = torch.stack([ids, valid.long(), torch.ones_like(ids)], dim=1)
        self.longest = longest_of(table)
        every, marked, real = with_others(table, self.longest).unbind(dim=1)
        real = real.bool()
        places = torch.arange(len(every), device=ids.device)
        every = torch.where(real & (every != UNKNOWN), every, -2 - places)  # a row of its own
        ordered, order = every.sort(stable=True)
        begins = torch.ones_like(real)
        begins[1:] = ordered[1:] != ordered[:-1]
        group = begins.cumsum(dim=0) - 1
        of_row = torch.empty_like(places).scatter_(0, order, group)
        counts = torch.zeros_like(places).scatter_add_(0, of_row, torch.ones_like(places))
        any_valid = torch.zeros_like(places).scatter_add_(0, of_row, marked) > 0
        self.times = counts[of_row][:size]
        self.first = torch.empty_like(begins).scatter_(0, order, begins) & real
        self.valid = any_valid[of_row]


def copies_of(batch: ListwiseBatch) -> Copies:
    """Which documents other processes have too; one is valid where some query has it as a valid candidate."""
    return Copies(ids_of(batch), batch.over_documents(batch.mask).any(dim=0))


def ids_of(batch: ListwiseBatch) -> Tensor:
    """(U,) numbers of the documents, or ``UNKNOWN``."""
    if batch.document_ids is not None:
        return batch.document_ids
    return batch.index.new_full((len(batch.documents),), UNKNOWN)


def copies_of_rows(num_queries: int, document_ids: Tensor) -> Copies | None:
    """The same of a batch's queries, each a row of its own, with the documents behind; None in a single process."""
    if num_processes() == 1:
        return None
    ids = torch.cat([torch.full_like(document_ids[:1], UNKNOWN).expand(num_queries), document_ids])
    return Copies(ids, torch.ones_like(ids, dtype=torch.bool))


def row_shares(rows: Tensor, copies: Copies | None = None) -> Callable[[Tensor], Tensor] | None:
    """From values (n,) of these rows to this process's share of their mean; None where it trains alone.

    Args:
        rows: (n, ...) this process's.
        copies: What several processes have counts once in all.
    """
    if num_processes() == 1 or not torch.is_grad_enabled():
        return None
    weights = torch.ones(len(rows), device=rows.device)
    weights = weights if copies is None else weights / copies.times
    count = mean_counts(weights)[0]
    return lambda values: (values * weights.to(values.dtype)).sum() / count


@dataclass(frozen=True)
class BatchShares:
    """What the rows of a process's batch are a share of; nothing where it trains alone.

    Attributes:
        lists: What sums over the lists that count are divided by, or None for their own number.
        positives: The same of those with a positive.
        queries: Of all queries.
        documents: Of all different documents.
        weights: (U,) of this process's documents: what several have counts once in all.
        copies: Which documents several have, where it was asked for.
    """

    lists: Tensor | None = None
    positives: Tensor | None = None
    queries: Tensor | None = None
    documents: Tensor | None = None
    weights: Tensor | None = None
    copies: Copies | None = None

    def counted(self, lists: ListwiseBatch) -> BatchShares:
        """The same with a number to divide by for lists and positives, also alone: then a part of them is a share."""
        if self.lists is not None:
            return self
        rows = lists.counts, lists.counts & lists.positive.any(dim=-1)
        of_lists, of_positives = (each.sum(dtype=torch.float32).clamp(min=1) for each in rows)
        return replace(self, lists=of_lists, positives=of_positives)

    def mean_of_queries(self, values: Tensor) -> Tensor:
        """(B,) values to this process's share of their mean."""
        return values.mean() if self.queries is None else values.sum() / self.queries

    def mean_of_documents(self, values: Tensor) -> Tensor:
        """(U,) values to this process's share of their mean."""
        if self.documents is None or self.weights is None:
            return values.mean()
        return (values * self.weights.to(values.dtype)).sum() / self.documents


ALONE = BatchShares()


def shares_of(
    batch: ListwiseBatch,
    *,
    documents: bool = False,
    copies: Copies | None = None,
    lists: ListwiseBatch | None = None,
) -> BatchShares:
    """The shares of a batch; all processes have to ask together.

    Args:
        batch: This process's.
        documents: Whether to look which documents other processes have too.
        copies: What ``copies_of`` says of the batch, where it was asked before.
        lists: What is compared in the place of the batch's own lists.
    """
    if num_processes() == 1 or not torch.is_grad_enabled():
        return ALONE
    copies = copies_of(batch) if documents and copies is None else copies
    weights = torch.ones(len(batch.documents), device=batch.documents.device)
    weights = weights if copies is None else weights / copies.times
    lists = batch if lists is None else lists
    queries = torch.ones_like(lists.counts)
    rows = lists.counts, lists.counts & lists.positive.any(dim=-1), queries, weights
    of_lists, of_positives, of_queries, of_documents = mean_counts(*rows).unbind()
    return BatchShares(of_lists, of_positives, of_queries, of_documents, weights, copies)


def with_others(rows: Tensor, longest: int) -> Tensor:
    """(n, D) -> (n + V, D): the rows, and behind them those of the other processes, padded with zeros to the longest.

    Gradients flow back to where the rows came from.
    """
    if num_processes() == 1:
        return rows
    padded = F.pad(rows, (0, 0, 0, longest - len(rows)))
    gathered = all_gather(padded, with_grad=rows.requires_grad).view(num_processes(), longest, -1)
    elsewhere = [*range(get_rank()), *range(get_rank() + 1, num_processes())]
    return torch.cat([rows, gathered[elsewhere].flatten(0, 1)])


def longest_of(rows: Tensor) -> int:
    """The most rows of a process."""
    if num_processes() == 1:
        return len(rows)
    longest = torch.tensor(len(rows), device=rows.device)
    distributed.all_reduce(longest, distributed.ReduceOp.MAX)
    return int(longest)
