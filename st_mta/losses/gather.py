"""The passages a batch offers as negatives: this process's own, or those of all processes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.shares import UNKNOWN, Copies, copies_of, longest_of, with_others
from st_mta.over_processes import num_processes


def gather_pool(
    batch: ListwiseBatch,
    teacher_documents: Tensor | None,
    *,
    across_devices: bool,
    copies: Copies | None = None,
) -> tuple[ListwiseBatch, Tensor, Tensor | None]:
    """Adds the passages of the other processes behind this one's; they may have other numbers of them.

    Args:
        batch: This process's batch.
        teacher_documents: (U, D') embeddings of a bi-encoder, or (U, M, D') token vectors with NaN behind the last,
            given on all processes or on none.
        across_devices: Whether to collect those of the other processes too.
        copies: What ``copies_of`` says of the batch, where it was asked before.

    Returns:
        The batch with U' documents and their groups; (U',) bool, whether some query of any process has it as a valid
        candidate, and it is the first of its copies; and the teacher's (U', D') or (U', M', D').
    """
    if not across_devices or num_processes() == 1:
        return batch, batch.over_documents(batch.mask).any(dim=0), teacher_documents
    copies = copies_of(batch) if copies is None else copies
    if teacher_documents is not None:
        teacher_documents = _with_others(teacher_documents.detach(), copies.longest)
    groups = batch.document_groups
    if groups is not None:
        groups = with_others(groups[:, None], copies.longest).squeeze(1)  # that of padding means nothing
    batch = replace(batch, documents=with_others(batch.documents, copies.longest), document_groups=groups)
    return batch, copies.first & copies.valid, teacher_documents


def _with_others(rows: Tensor, longest: int) -> Tensor:
    """``with_others`` for rows (n, ...), of which those of three axes may be of another length in each process."""
    if rows.ndim == 2:
        return with_others(rows, longest)
    width = longest_of(rows.transpose(0, 1))
    padded = F.pad(rows, (0, 0, 0, width - rows.shape[1]), value=torch.nan)
    return with_others(padded.flatten(1), longest).view(-1, *padded.shape[1:])


def gather_rows(*sides: Tensor, across_devices: bool, copies: Copies | None = None) -> tuple[Tensor, ...]:
    """Each side (n, ...) of the same rows with those of the other processes behind, which may be more or fewer.

    With ``copies`` of these rows, what several processes have comes once.
    """
    if not across_devices or num_processes() == 1:
        return sides
    if copies is None:
        everyone = torch.ones(len(sides[0]), dtype=torch.bool, device=sides[0].device)
        copies = Copies(torch.full_like(everyone, UNKNOWN, dtype=torch.int64), everyone)
    return tuple(with_others(side, copies.longest)[copies.first] for side in sides)
