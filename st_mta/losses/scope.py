"""What a query's distributions are over: the candidates of its own list, or all passages of the batch.

TCT-ColBERT (Lin et al., 2020, https://arxiv.org/abs/2010.11386) distils over all 2B passages of a batch of B queries,
each with a positive and a negative: KL(softmax(t / 0.25) || softmax(s)) + gamma * cross-entropy, gamma about 0.1. Here
that is ``ListwiseKLLoss(model, candidates="in-batch", teacher_temperature=0.25, contrastive_weight=0.1)``. Deviations:
several positives as in ``info_nce``; passages may be shared, missing or filtered; the student is any dense retriever
at its own scale, where the paper's pools the teacher's own token vectors.

The teacher has to score each query with the passages of all others, so a cross-encoder cannot be it; the labels are:

- columns (query, positive, negative_1, ..., negative_n): a tensor (B, 1 + N, D'), the teacher's embeddings of the text
  in every column, whose dot products are its scores; NaN for a missing passage;
- the flat form: as for lists, with "teacher_queries" (B, D') and "teacher_documents" (U, D'); or the token vectors of
  a late-interaction teacher, (B, L, D') and (U, M, D') with NaN behind the last token; or "teacher_in_batch" (B, U),
  scores of any teacher, NaN where it has none. "scores" (B, S, N) may be left out: all that is read of them is which
  candidates are missing. A list of the same teacher holds what the matrix has at its places.

Targets are the teacher's alone, since assistants need not have scored the passages of other queries.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.lookup import check_choice, spelled
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.filtering import excess_over_threshold, filtered_log_weights, rescue_empty_rows
from st_mta.losses.gather import gather_pool
from st_mta.losses.in_batch_teacher import DOCUMENTS, QUERIES, teacher_of
from st_mta.losses.shares import BatchShares, copies_of, shares_of
from st_mta.over_processes import num_processes

LIST, IN_BATCH = "list", "in-batch"
SCOPES = (LIST, IN_BATCH)
"""Every scope by the word users write."""
NARROWEST = 2
"""Candidates of a list that can be read; where whole batches are compared, a list may be a positive alone."""


def check_scope(candidates: str, filter: DynamicFilter | None = None) -> str:
    """The word in its usual spelling.

    Raises:
        InputError: If there is no such scope, or there is a filter that the scope has no use for.
    """
    word: str = spelled(candidates, SCOPES)
    check_choice("candidates", word, SCOPES)
    if filter is not None and (word == LIST or filter.temperature is not None):
        raise InputError(
            expected=f"an in_batch_filter without temperature, and candidates={IN_BATCH!r}",
            got=f"candidates={word!r} and {filter}",
            remedy="leave the filter out, or see FilteredContrastiveLoss, which also weakens negatives by degrees",
        )
    return word


def label_of_scope(candidates: str, embeddings: list[Tensor], labels: Labels | None) -> Labels | None:
    """The label with lists in it, which those who compare whole batches may leave out.

    Args:
        candidates: A word of ``SCOPES``.
        embeddings: One tensor per column, the query's first.
        labels: As described for ``ListwiseKLLoss``; a tensor (B, 1 + N, D') holds the teacher's embeddings of every
            column where whole batches are compared.
    """
    if candidates == LIST or labels is None:
        return labels
    flat = dict(labels) if isinstance(labels, dict) else _flat_label(embeddings, labels)
    index = flat.get("index")
    if "scores" not in flat and index is not None:
        num_documents = sum(map(len, embeddings[1:]))
        teacher = teacher_of(flat, len(embeddings[0]), num_documents, gathered=False)
        flat["scores"] = teacher.compare(teacher.documents).gather(1, index.clamp(min=0))[:, None]
    return _widened(flat)


def refuse_cut_label(candidates: str, model: nn.Module, embeddings: list[Tensor], labels: Labels | None) -> None:
    """Raises ``InputError`` for a teacher's embeddings that a wrapper has cut together with the student's.

    The host's ``MatryoshkaLoss`` cuts every label that is as wide as the student's embeddings.

    Args:
        candidates: A word of ``SCOPES``.
        model: The student, which several processes may have wrapped.
        embeddings: One tensor per column.
        labels: As for ``label_of_scope``.
    """
    if candidates == LIST or not isinstance(labels, Tensor):
        return
    width, measure = embeddings[0].shape[-1], getattr(getattr(model, "module", model), "get_embedding_dimension", None)
    full_width = width if measure is None else measure()
    if full_width is not None and width < full_width and labels.shape[-1] == width:
        raise InputError(
            expected="a teacher's embeddings as they are",
            got=f"{width} numbers of each, which are as many as are left of the student's {full_width}",
            consequence="MatryoshkaLoss cuts labels as wide as the student's embeddings, and the teacher would score "
            "by a part of its own",
            remedy="give the flat form, with teacher_queries and teacher_documents, or CachedListwiseKLLoss",
        )


def lists_of_scope(
    candidates: str,
    batch: ListwiseBatch,
    labels: Labels | None,
    *,
    documents: bool,
    across_devices: bool,
    filter: DynamicFilter | None = None,
    iteration: int = 0,
) -> tuple[ListwiseBatch, BatchShares]:
    """The lists that are compared, as a batch, and what their rows are a share of.

    Args:
        candidates: A word of ``SCOPES``.
        batch: This process's.
        labels: With a teacher of whole batches where these are compared.
        documents: Whether the loss has to know which documents other processes have too.
        across_devices: Whether the passages of all processes are candidates of each query.
        filter: Says which passages of the batch are likely false negatives and no candidates.
        iteration: Which margin of its schedule holds.
    """
    if candidates == LIST:
        return batch, shares_of(batch, documents=documents)
    assert isinstance(labels, dict)
    copies = copies_of(batch) if across_devices and num_processes() > 1 else None
    teacher = teacher_of(labels, len(batch.queries), len(batch.documents), gathered=across_devices)
    wide, pool, others = gather_pool(batch, teacher.documents, across_devices=across_devices, copies=copies)
    lists = whole_batch(wide, pool, teacher.compare(others), filter, iteration)
    return lists, shares_of(batch, documents=documents, copies=copies, lists=lists)


def whole_batch(
    batch: ListwiseBatch, pool: Tensor, scores: Tensor, filter: DynamicFilter | None = None, iteration: int = 0
) -> ListwiseBatch:
    """The batch with all its passages as the list of every query, each passage at its own place.

    A passage is a candidate of a query if the teacher scores the two, some query has it as a valid candidate, and the
    query's own list does not mark it as missing. What is judged with a positive of the query is none, unless it is a
    positive too. What is above the filter's threshold is none either, unless that
    would leave the query without a negative: then it keeps the one nearest to the threshold.

    Args:
        batch: With lists; U passages.
        pool: (U,) bool, the passages that are a valid candidate somewhere.
        scores: (B, U) of the teacher.
        filter: Of likely false negatives; None keeps all.
        iteration: Which margin of its schedule holds.
    """
    missing = batch.over_documents(batch.listed & ~batch.mask)
    mask = pool & ~missing & scores.isfinite()
    positive = batch.over_documents(batch.positive) & mask
    if batch.document_groups is not None:
        mask = mask & (positive | ~batch.judged_with(positive))
    if filter is not None:
        mask = mask & _kept(scores, positive, mask, filter, iteration)
    index = torch.arange(len(batch.documents), device=mask.device).expand(mask.shape)
    return replace(
        batch, scores=scores[:, None], index=index, listed=torch.ones_like(mask), mask=mask, positive=positive
    )


def _kept(scores: Tensor, positive: Tensor, mask: Tensor, filter: DynamicFilter, iteration: int) -> Tensor:
    """(B, U) bool: passages that the filter leaves in."""
    excess = excess_over_threshold(scores, positive, filter, iteration)
    weights, _ = rescue_empty_rows(filtered_log_weights(excess, None), excess, mask & ~positive)
    return weights > -torch.inf


def _flat_label(embeddings: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
    """The flat form of the columns (query, positive, negative_1, ...) and a teacher's embeddings of each."""
    num_queries, width = len(embeddings[0]), len(embeddings) - 1
    if labels.ndim != 3 or labels.shape[:2] != (num_queries, 1 + width):
        raise InputError(
            expected=f"a label ({num_queries}, {1 + width}, D'), a teacher's embeddings of every column, for "
            f"candidates={IN_BATCH!r}",
            got=str(tuple(labels.shape)),
            consequence="nothing would say how the teacher scores a query with the passages of other queries",
            remedy="give its embeddings of the query and of each passage, the flat form, or candidates='list' with "
            "scores",
        )
    teacher = widen(labels.detach())
    rows = torch.arange(num_queries, device=labels.device)
    index = rows[:, None] + num_queries * torch.arange(width, device=labels.device)
    return {
        "index": index,
        "positive": (index < num_queries),
        QUERIES: teacher[:, 0],
        DOCUMENTS: teacher[:, 1:].transpose(0, 1).flatten(0, 1),
    }


def _widened(flat: dict[str, Tensor]) -> dict[str, Tensor]:
    """Lists of a positive alone, with a place behind it that is none."""
    padding = {"scores": torch.nan, "index": -1, "positive": False}
    if not flat.keys() >= padding.keys() or flat["index"].shape[-1] >= NARROWEST:
        return flat
    sides = {
        name: torch.cat([flat[name], torch.full_like(flat[name][..., :1], value)], dim=-1)
        for name, value in padding.items()
    }
    return flat | sides
