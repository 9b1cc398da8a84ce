"""A teacher's scores against the filter's threshold, for every query and every passage of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.filters import DynamicFilter
from st_mta.losses.batch import ListwiseBatch


def judge_lists(batch: ListwiseBatch, filter: DynamicFilter, iteration: int) -> Tensor:
    """How far the teacher's score of each listed negative exceeds the query's threshold.

    Returns:
        (B, U) score - threshold; -inf where the teacher says nothing: passages not listed, positives, and queries
        without a positive.
    """
    scores = batch.scores[:, 0]
    threshold = filter.threshold(_lowest(scores, batch.positive), iteration)
    judged = batch.mask & ~batch.positive & threshold.isfinite()
    excess = torch.where(judged, scores - threshold, -torch.inf)
    table = scores.new_full((len(scores), len(batch.documents) + 1), -torch.inf)
    # Candidates that are not judged write into one column too many, which is cut off.
    return table.scatter_(1, torch.where(judged, batch.index, len(batch.documents)), excess)[:, :-1]


def judge_batch(
    teacher_queries: Tensor, teacher_documents: Tensor, positive: Tensor, filter: DynamicFilter, iteration: int
) -> Tensor:
    """The same for all passages of the batch, from the embeddings of a bi-encoder.

    Args:
        teacher_queries: (B, D') embeddings.
        teacher_documents: (U, D') embeddings.
        positive: (B, U) bool.
        filter: The filter for dot products of these embeddings.
        iteration: Which margin of its schedule holds.

    Returns:
        (B, U) score - threshold; -inf where the teacher says nothing.
    """
    scores = teacher_queries.float() @ teacher_documents.float().T
    threshold = filter.threshold(_lowest(scores, positive), iteration)
    return torch.where(positive | ~threshold.isfinite(), -torch.inf, scores - threshold)


def filtered_log_weights(excess: Tensor, temperature: float | None) -> Tensor:
    """(B, U) log of the weight a negative keeps: 0 for all of it, -inf for nothing of it."""
    if temperature is None:
        return torch.zeros_like(excess).masked_fill(excess > 0, -torch.inf)
    return F.logsigmoid(-excess / temperature)


def rescue_empty_rows(log_weights: Tensor, excess: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Gives a query that lost all its negatives the one nearest to its threshold back.

    Args:
        log_weights: (B, U) as of ``filtered_log_weights``.
        excess: (B, U) score - threshold.
        negative: (B, U) bool, negatives before filtering.

    Returns:
        The weights, and (B,) bool, True for the queries this was done for.
    """
    empty = negative.any(dim=-1) & ~(negative & (log_weights > -torch.inf)).any(dim=-1)
    nearest = torch.where(negative, excess, torch.inf).argmin(dim=-1, keepdim=True)
    rescued = torch.zeros_like(negative).scatter_(1, nearest, empty[:, None])
    return log_weights.masked_fill(rescued, 0.0), empty


def _lowest(scores: Tensor, positive: Tensor) -> Tensor:
    """(B, 1) score of the positive that the teacher likes least; not finite without one."""
    return torch.where(positive, scores, torch.inf).amin(dim=-1, keepdim=True)
