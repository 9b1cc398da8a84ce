"""Orders of a query's candidates: by a target, by the student, and what a place in them is worth."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.distributions import widen
from st_mta.lookup import check_choice

GAINS = ("reciprocal-rank", "probability")
"""What a candidate is worth: 1 / its rank by the target, or the target's probability for it."""


def finite(values: Tensor, mask: Tensor) -> Tensor:
    """Values in float32 or wider, 0 where masked; -inf becomes a number that stays finite in differences."""
    values = widen(values)
    return torch.where(mask, values, 0.0).clamp(min=torch.finfo(values.dtype).min / 4)


def differences(values: Tensor, mask: Tensor) -> Tensor:
    """(..., N) -> (..., N, N) with v_i - v_j at (i, j)."""
    values = finite(values, mask)
    return values.unsqueeze(-1) - values.unsqueeze(-2)


def pairs(mask: Tensor) -> Tensor:
    """(..., N) -> (..., N, N) bool: two different valid candidates."""
    both = mask.unsqueeze(-1) & mask.unsqueeze(-2)
    return both & ~torch.eye(mask.shape[-1], dtype=torch.bool, device=mask.device)


def best_first(values: Tensor, mask: Tensor) -> Tensor:
    """(..., N) places of the candidates from the highest value to the lowest, masked ones last; ties keep order."""
    return finite(values, mask).masked_fill(~mask, -torch.inf).argsort(dim=-1, descending=True, stable=True)


def places(values: Tensor, mask: Tensor) -> Tensor:
    """(..., N) rank of each valid candidate by value, 1 for the highest; of tied ones the earlier is before."""
    order = best_first(values, mask)
    ranks = torch.arange(1, values.shape[-1] + 1, dtype=widen(values).dtype, device=values.device).expand_as(order)
    return torch.empty_like(ranks).scatter_(-1, order, ranks)


def average_ranks(values: Tensor, mask: Tensor) -> Tensor:
    """(..., N) rank of each valid candidate by value, 1 for the highest; tied ones share the mean of their ranks."""
    above = differences(values, mask)
    both = mask.unsqueeze(-1) & mask.unsqueeze(-2)
    higher, equal = ((each & both).sum(dim=-1) for each in (above < 0, above == 0))
    return (higher + (equal + 1) / 2).to(above.dtype)


def gains_of(target_log_probs: Tensor, mask: Tensor, word: str) -> Tensor:
    """(..., N) what finding each candidate is worth, 0 where masked; see ``GAINS``."""
    check_choice("gains", word, GAINS)
    if word == "probability":
        return torch.where(mask, finite(target_log_probs, mask).exp(), 0.0)
    return torch.where(mask, average_ranks(target_log_probs, mask).reciprocal(), 0.0)


def ideal_gain(target_log_probs: Tensor, gains: Tensor, mask: Tensor, top: int | None = None) -> Tensor:
    """(..., 1) the discounted gain of the target's own order down to a depth: the greatest there is."""
    ranks = places(target_log_probs, mask)
    counts = mask if top is None else mask & (ranks <= top)
    return torch.where(counts, gains / (1 + ranks).log2(), 0.0).sum(dim=-1, keepdim=True)


def references(target_log_probs: Tensor, mask: Tensor, positive: Tensor) -> Tensor:
    """(..., N) bool: the valid positives, or in a list without any the candidate that the target holds best."""
    positive = positive & mask
    best = places(target_log_probs, mask) == 1
    return torch.where(positive.any(dim=-1, keepdim=True), positive, best & mask)
