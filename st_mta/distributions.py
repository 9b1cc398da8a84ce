"""Candidate lists as distributions: softmax, KL, entropy, centring and standardising over the valid candidates."""

from __future__ import annotations

import torch
from torch import Tensor

_TIED = 1e-6
"""A deviation below this share of the mean is float32 rounding, not order."""


def widen(values: Tensor) -> Tensor:
    """In float32, or as it is where that is wider: bfloat16 has three digits only."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def masked_log_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Log-probabilities of the valid candidates; -inf at masked ones, which get no gradient.

    Args:
        scores: (..., N) scores; masked ones may be anything, NaN included.
        mask: Bool of the same or a broadcastable shape, True for a valid candidate.

    Returns:
        (..., N), float32 or wider.
    """
    scores = widen(scores)
    # A finite filling: in rows without any valid candidate -inf would make the softmax and its gradient NaN.
    filled = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    return filled.log_softmax(dim=-1).masked_fill(~mask, -torch.inf)


def masked_kl(log_probs: Tensor, other: Tensor, mask: Tensor) -> Tensor:
    """KL(p || q), the sum over valid candidates of p * (log p - log q).

    Args:
        log_probs: (..., N) log p; masked ones may be anything.
        other: (..., N) log q of a broadcastable shape.
        mask: Bool of a broadcastable shape, True for a valid candidate.

    Returns:
        (...) in nats, float32 or wider; infinite where q rules out what p allows.
    """
    log_probs, other = widen(log_probs), widen(other)
    # Candidates without mass in p count nothing; computing them anyway would give 0 * inf = NaN.
    counts = mask & (log_probs > -torch.inf)
    log_probs, other = torch.where(counts, log_probs, 0.0), torch.where(counts, other, 0.0)
    return (log_probs.exp() * (log_probs - other)).sum(dim=-1)


def masked_entropy(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Entropy of (..., N) log-probabilities over the valid candidates: (...) in nats."""
    return -masked_kl(log_probs, torch.zeros_like(log_probs), mask)


def centre(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores less their mean over the valid candidates; 0 at masked ones. Shapes as for ``masked_log_softmax``."""
    scores = widen(scores)
    return torch.where(mask, scores - _mean(scores, mask), 0.0)


def standardise(scores: Tensor, mask: Tensor) -> Tensor:
    """Scores with zero mean and unit population deviation over the valid candidates.

    0 where all are equal, and at masked ones. Shapes as for ``masked_log_softmax``.
    """
    centred = centre(scores, mask)
    deviation = _mean(centred.square(), mask).sqrt()
    return torch.where(deviation > _TIED * _mean(scores.to(centred.dtype), mask).abs(), centred / deviation, 0.0)


def within_unit_interval(scores: Tensor) -> bool:
    """Whether there are finite scores, and all of them lie in [0, 1]."""
    scores = scores[scores.isfinite()]
    return scores.numel() > 0 and bool(((scores >= 0) & (scores <= 1)).all())


def looks_like_sigmoid(scores: Tensor) -> bool:
    """Whether scores seem to be probabilities squeezed through a sigmoid instead of raw logits.

    The rule: every score lies in [0, 1], and at least 30% lie within .05 of an end without being exactly 0. A
    cross-encoder's logits span ten units and more, so its sigmoid saturates; cosine similarities of a bi-encoder stay
    between about .1 and .9; exact zeros are what a term-matching scorer gives.

    Args:
        scores: (P,) scores; entries that are not finite are ignored.
    """
    scores = scores[scores.isfinite()]
    saturated = ((scores > 0) & (scores <= 0.05)) | (scores >= 0.95)
    return within_unit_interval(scores) and float(saturated.double().mean()) >= 0.3


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    """(..., 1) mean over the valid candidates; 0 where there is none."""
    count = mask.sum(dim=-1, keepdim=True).clamp(min=1)
    return torch.where(mask, values, 0.0).sum(dim=-1, keepdim=True) / count
