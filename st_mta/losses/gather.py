"""The passages a batch offers as negatives: this process's own, or those of all processes."""

from __future__ import annotations

from dataclasses import replace

import torch
from sentence_transformers.util.distributed import all_gather_padded, get_rank, get_world_size
from torch import Tensor

from st_mta.losses.batch import ListwiseBatch


def gather_pool(
    batch: ListwiseBatch, teacher_documents: Tensor | None, *, across_devices: bool
) -> tuple[ListwiseBatch, Tensor, Tensor | None]:
    """Adds the passages of the other processes behind this one's; they may have other numbers of them.

    Args:
        batch: This process's batch.
        teacher_documents: (U, D') embeddings of a bi-encoder, given on all processes or on none.
        across_devices: Whether to collect those of the other processes too.

    Returns:
        The batch with U' documents; (U',) bool, whether some query of the passage's process has it as a valid
        candidate; and the teacher's (U', D').
    """
    valid = batch.over_documents(batch.mask).any(dim=0)
    if not across_devices or get_world_size() == 1:
        return batch, valid, teacher_documents
    documents, valid_elsewhere = _others(batch.documents, valid)
    if teacher_documents is not None:
        teacher_documents = torch.cat([teacher_documents, _others(teacher_documents.detach(), valid)[0]])
    batch = replace(batch, documents=torch.cat([batch.documents, documents]))
    return batch, torch.cat([valid, valid_elsewhere]), teacher_documents


def gather_rows(*sides: Tensor, across_devices: bool) -> tuple[Tensor, ...]:
    """Each side (n, ...) of the same rows with those of the other processes behind, which may be more or fewer."""
    if not across_devices or get_world_size() == 1:
        return sides
    everyone = torch.ones(len(sides[0]), dtype=torch.bool, device=sides[0].device)
    gathered = [_others(side, everyone) for side in sides]
    return tuple(torch.cat([side, rows[valid]]) for side, (rows, valid) in zip(sides, gathered))


def _others(rows: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """(V, D) rows of the other processes, padded to the longest, and (V,) whether each is valid."""
    # The host pads the second axis: one "batch row" per process. Gradients flow back to where the rows came from.
    gathered, mask = all_gather_padded(rows[None], valid[None], with_grad=rows.requires_grad)
    elsewhere = torch.arange(len(gathered), device=rows.device) != get_rank()
    return gathered[elsewhere].flatten(0, 1), mask[elsewhere].flatten().bool()
