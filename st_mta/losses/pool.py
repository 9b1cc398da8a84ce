"""The documents of a batch that its queries can be compared with, beyond their own lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.gather import gather_pool
from st_mta.losses.info_nce import info_nce
from st_mta.losses.shares import BatchShares
from st_mta.losses.similarity import mean_over


@dataclass(frozen=True)
class Pool:
    """The documents that a batch's queries can be compared with.

    Attributes:
        logits: (B, U) the student's.
        batch: With U documents, those of other processes among them where they are gathered.
        valid: (U,) bool, a valid candidate of some query, and the first of its copies.
    """

    logits: Tensor
    batch: ListwiseBatch
    valid: Tensor

    def others(self) -> tuple[Tensor, Tensor]:
        """Logits (B, 1, U) and a mask: the documents that a query neither lists nor has a positive judged with."""
        own = self.batch.over_documents(self.batch.listed)
        if self.batch.document_groups is not None:
            own = own | self.batch.judged_with(self.batch.over_documents(self.batch.positive))
        return self.logits[:, None], (self.valid & ~own)[:, None]

    def contrast(self, factor: float, shares: BatchShares) -> Tensor:
        """InfoNCE of the valid positives against all documents that are a valid candidate somewhere in the batch.

        Args:
            factor: On the student's logits.
            shares: What a mean is this process's share of.
        """
        positive, negative = self.batch.roles(self.valid)
        values = info_nce(self.logits * factor, positive, negative)
        return mean_over(values, self.batch.counts & positive.any(dim=-1), shares.positives)


def pool_of(
    batch: ListwiseBatch,
    logits: Tensor,
    compare: Callable[[Tensor, Tensor], Tensor],
    shares: BatchShares,
    *,
    across_devices: bool,
) -> Pool:
    """The pool of a batch.

    Args:
        batch: Of this process.
        logits: (B, U) of its queries and documents.
        compare: Gives such logits, for more documents.
        shares: With the copies of documents that other processes have too.
        across_devices: Whether the documents of other processes are in it.
    """
    wide, valid, _ = gather_pool(batch, None, across_devices=across_devices, copies=shares.copies)
    if len(wide.documents) > len(batch.documents):
        logits = compare(wide.queries, wide.documents)
    return Pool(logits, wide, valid)
