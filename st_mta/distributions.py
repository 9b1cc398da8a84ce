"""Candidate lists as distributions: softmax, centring and standardising over the valid candidates."""

from __future__ import annotations

import torch
from torch import Tensor

_TIED = 1e-6
"""A deviation below this share of the mean is float32 rounding, not order."""


def masked_log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of the valid candidates; -inf at masked ones, also where a whole row is masked.

    Args:
        scores: (..., N) scores; masked ones may be anything, NaN included.
        mask: Bool of the same or a broadcastable shape, True for a valid candidate.

    Returns:
        (..., N), float32 or wider.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    # The second filling is for rows without any valid candidate, whose softmax is NaN.
    return scores.masked_fill(~mask, -torch.inf).log_softmax(dim=-1).masked_fill(~mask, -torch.inf)


def centre(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores less their mean over the valid candidates; 0 at masked ones.

    Args:
        scores: (..., N) scores; masked ones may be anything, NaN included.
        mask: Bool of the same or a broadcastable shape, True for a valid candidate.

    Returns:
        (..., N), float32 or wider.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    return torch.where(mask, scores - _mean(scores, mask), 0.0)


def standardise(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with zero mean and unit population deviation over the valid candidates; 0 where all are equal.

    Args:
        scores: (..., N) scores; masked ones may be anything, NaN included.
        mask: Bool of the same or a broadcastable shape, True for a valid candidate.

    Returns:
        (..., N), float32 or wider; 0 at masked candidates.
    """
    centred = centre(scores, mask)
    deviation = _mean(centred.square(), mask).sqrt()
    return torch.where(deviation > _TIED * _mean(scores.to(centred.dtype), mask).abs(), centred / deviation, 0.0)


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(..., 1) mean over the valid candidates; 0 where there is none."""
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(mask, values, 0.0).sum(dim=-1, keepdim=True) / count
