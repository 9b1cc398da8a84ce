"""A teacher's scores against the filter's threshold, for every query and every passage of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.filters import DynamicFilter


def excess_over_threshold(scores: Tensor, positive: Tensor, filter: DynamicFilter, iteration: int) -> Tensor:
    """How far the teacher's score of each negative exceeds the query's threshold.

    Args:
        scores: (B, X) of candidates or of all passages.
        positive: (B, X) bool; the one that the teacher likes least sets the threshold.
        filter: The filter for such scores.
        iteration: Which margin of its schedule holds.

    Returns:
        (B, X) score - threshold; -inf for positives and for queries without one.
    """
    threshold = filter.threshold(torch.where(positive, scores, torch.inf).amin(dim=-1, keepdim=True), iteration)
    return torch.where(positive | ~threshold.isfinite(), -torch.inf, scores - threshold)


def filtered_log_weights(excess: Tensor, temperature: float | None) -> Tensor:
    """(B, U) log of the weight a negative keeps: 0 for all of it, -inf for nothing of it."""
    if temperature is None:
        return torch.zeros_like(excess).masked_fill(excess > 0, -torch.inf)
    return F.logsigmoid(-excess / temperature)


def rescue_empty_rows(log_weights: Tensor, excess: Tensor, negative: Tensor) -> tuple[Tensor, Tensor]:
    """Restores to a query that lost all its negatives (B, U) the one nearest to its threshold.

    Returns:
        The (B, U) log-weights, and (B,) bool, True for the queries this was done for.
    """
    empty = negative.any(dim=-1) & ~(negative & (log_weights > -torch.inf)).any(dim=-1)
    nearest = torch.where(negative, excess, torch.inf).argmin(dim=-1, keepdim=True)
    rescued = torch.zeros_like(negative).scatter_(1, nearest, empty[:, None])
    return log_weights.masked_fill(rescued, 0.0), empty
