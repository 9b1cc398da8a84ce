"""Ranks that have a gradient, and measures of a ranking made of them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from st_mta.losses.objectives.orders import average_ranks, differences, gains_of, ideal_gain, pairs, places
from st_mta.losses.similarity import check_range


def approximate_ranks(student_logits: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """The student's ranks, 1 for the best, with a gradient: one plus how many candidates are probably better.

    1 + sum over j != i of sigmoid((s_j - s_i) / temperature): Qin et al. (Information Retrieval 2010).

    Args:
        student_logits: (..., N) scaled similarities.
        mask: (..., N) bool, True for a valid candidate.
        temperature: The lower, the closer to the true ranks, and the fewer pairs have a gradient.

    Returns:
        (..., N), without meaning where masked.

    Example:
        >>> approximate_ranks(torch.tensor([[5.0, -5.0]]), torch.ones(1, 2) > 0, temperature=0.1)
        tensor([[1., 2.]])
    """
    check_range("temperature", temperature, 0 < temperature < math.inf, "positive")
    # At (i, j) how far j is ahead of i.
    ahead = -differences(student_logits, mask) / temperature
    return 1 + torch.where(pairs(mask), ahead.sigmoid(), 0.0).sum(dim=-1)


def adr_mse(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Mean over candidates of (r_i - rank_i)^2 / log2(rank_i + 1), with r approximate and rank by the target.

    ADR-MSE of Rank-DistiLLM (Schlatt et al., https://arxiv.org/abs/2405.07920). As in the host's
    ``ADRMSELoss``, candidates that the target holds equal share the mean of their ranks. Where student and target
    are equal the gradient vanishes only as the temperature goes to 0: approximate ranks lie closer together.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        temperature: Of ``approximate_ranks``.

    Returns:
        (...) in squared ranks.

    Example:
        >>> adr_mse(torch.tensor([[0.0, 0.0]]), torch.tensor([[-1.0, -2.0]]), torch.ones(1, 2) > 0)
        tensor([0.2039])
    """
    wanted = average_ranks(target_log_probs, mask)
    errors = (approximate_ranks(student_logits, mask, temperature) - wanted).square() / (1 + wanted).log2()
    return torch.where(mask, errors, 0.0).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)


def approx_ndcg(
    student_logits: Tensor,
    target_log_probs: Tensor,
    mask: Tensor,
    *,
    temperature: float = 1.0,
    gains: str = "reciprocal-rank",
) -> Tensor:
    """One minus nDCG at the approximate ranks, in [0, 1]; what is relevant is the target's to say.

    ApproxNDCG of Qin et al. (Information Retrieval 2010), with gains from the target instead of grades.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        temperature: Of ``approximate_ranks``.
        gains: "reciprocal-rank", 1 / the rank by the target, or "probability", the target's own.

    Returns:
        (...); 0 for lists of fewer than two valid candidates.
    """
    worth = gains_of(target_log_probs, mask, gains)
    found = worth / (1 + approximate_ranks(student_logits, mask, temperature)).log2()
    ideal = ideal_gain(target_log_probs, worth, mask).squeeze(-1)
    share = torch.where(mask, found, 0.0).sum(dim=-1) / ideal.clamp(min=torch.finfo(worth.dtype).tiny)
    return torch.where(mask.sum(dim=-1) >= 2, 1 - share, 0.0)


def approx_mrr(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, *, temperature: float = 1.0) -> Tensor:
    """One minus the reciprocal approximate rank of the candidate that the target holds best, in [0, 1].

    After Qin et al. (Information Retrieval 2010), with one relevant candidate. Arguments as for ``adr_mse``.

    Returns:
        (...); 0 for lists of fewer than two valid candidates.
    """
    best = mask & (places(target_log_probs, mask) == 1)
    reciprocal = approximate_ranks(student_logits, mask, temperature).reciprocal()
    found = torch.where(best, reciprocal, 0.0).sum(dim=-1)
    return torch.where(mask.sum(dim=-1) >= 2, 1 - found, 0.0)
