"""Pairs of candidates: the student prefers of any two the one that its teacher prefers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.lookup import check_choice
from st_mta.losses.objectives.orders import differences, gains_of, ideal_gain, pairs, places
from st_mta.losses.similarity import check_range

PREFERENCES = ("hard", "soft")
WEIGHTINGS = ("lambda-rank", "ndcg-loss2", "ndcg-loss2++")


def ranknet(
    student_logits: Tensor,
    target_log_probs: Tensor,
    mask: Tensor,
    *,
    preferences: str = "hard",
    top: int | None = None,
) -> Tensor:
    """Mean over pairs of candidates of how improbable the student holds the target's preference.

    RankNet (Burges et al., ICML 2005): the student prefers i to j with probability sigmoid(s_i - s_j).
    "hard" takes the target's order for certain, -log sigmoid(s_i - s_j) for every pair with t_i > t_j, as
    Rank-DistiLLM (https://arxiv.org/abs/2405.07920) does; the gradient is not zero where student and target are
    equal. "soft" takes the target's preference sigmoid(t_i - t_j), by Bradley and Terry's model, and gives the
    divergence of the two, the pairwise term of PairDistill (https://arxiv.org/abs/2410.01383), which is zero there.
    Deviation: the entropy of soft preferences is taken off. Pairs that the target holds equal count in "soft" only.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        preferences: "hard" or "soft".
        top: Only pairs count of which one is among the student's best so many; None is all.

    Returns:
        (...) in nats.

    Example:
        >>> ranknet(torch.tensor([[0.0, 0.0]]), torch.tensor([[-1.0, -2.0]]), torch.ones(1, 2) > 0)
        tensor([0.6931])
    """
    check_choice("preferences", preferences, PREFERENCES)
    counts = pairs(mask) & within_top(student_logits, mask, top)
    ahead, wanted = differences(student_logits, mask), differences(target_log_probs, mask)
    if preferences == "hard":
        return mean_over_pairs(-F.logsigmoid(ahead), counts & (wanted > 0))
    # Both orders of a pair are in the matrix, so that the mean over it is half of that over pairs.
    certain = F.logsigmoid(wanted)
    return 2 * mean_over_pairs(certain.exp() * (certain - F.logsigmoid(ahead)), counts)


def lambda_rank(
    student_logits: Tensor,
    target_log_probs: Tensor,
    mask: Tensor,
    *,
    weighting: str = "lambda-rank",
    gains: str = "reciprocal-rank",
    top: int | None = None,
    mu: float = 10.0,
) -> Tensor:
    """RankNet whose pairs weigh as much as nDCG would change if the two candidates changed places.

    LambdaRank as a loss (Wang et al., CIKM 2018, the LambdaLoss framework): the mean over
    the pairs with t_i > t_j of w_ij * -log sigmoid(s_i - s_j), with G the gain of a candidate as a share of the
    greatest discounted gain of the list, r its rank by the student now, D(r) = log2(1 + r), and w without gradient

        "lambda-rank"    |G_i - G_j| |1 / D(r_i) - 1 / D(r_j)|, the change of nDCG
        "ndcg-loss2"     |G_i - G_j| |1 / D(d) - 1 / D(d + 1)|, d = |r_i - r_j|, a tighter bound
        "ndcg-loss2++"   mu times the second plus the first, the paper's best

    Deviations: gains come from the target, since nothing is graded; nats, and a mean instead of the paper's sum, both
    as in the host's ``LambdaLoss`` with ``reduction_log="natural"``. Not zero where student and target are equal.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        weighting: One of the above.
        gains: "reciprocal-rank", 1 / the rank by the target, or "probability", the target's own.
        top: Of nDCG@top: only pairs count of which one is among the student's best so many; None is all.
        mu: Of "ndcg-loss2++".

    Returns:
        (...).
    """
    check_choice("weighting", weighting, WEIGHTINGS)
    check_range("mu", mu, 0 <= mu < float("inf"), "at least 0")
    worth = gains_of(target_log_probs, mask, gains)
    tiny = torch.finfo(worth.dtype).tiny
    worth = worth / ideal_gain(target_log_probs, worth, mask, top).clamp(min=tiny)
    weights = differences(worth, mask).abs() * _discounts(places(student_logits.detach(), mask), weighting, mu)
    counts = pairs(mask) & within_top(student_logits, mask, top) & (differences(target_log_probs, mask) > 0)
    return mean_over_pairs(-weights * F.logsigmoid(differences(student_logits, mask)), counts)


def within_top(student_logits: Tensor, mask: Tensor, top: int | None) -> Tensor:
    """(..., N, N) bool, or one that fits it: one of the two candidates is among the student's best so many."""
    if top is None:
        return torch.ones((), dtype=torch.bool, device=mask.device)
    check_range("top", top, top >= 1, "at least 1")
    inside = places(student_logits.detach(), mask) <= top
    return inside.unsqueeze(-1) | inside.unsqueeze(-2)


def mean_over_pairs(values: Tensor, counts: Tensor) -> Tensor:
    """(..., N, N) -> (...) mean over the pairs that count; 0 where there is none."""
    number = counts.sum(dim=(-2, -1)).clamp(min=1)
    return torch.where(counts, values, 0.0).sum(dim=(-2, -1)) / number


def _discounts(ranks: Tensor, weighting: str, mu: float) -> Tensor:
    """(..., N, N) how far apart the student's places are in discount."""
    changed = (1 / (1 + ranks.unsqueeze(-1)).log2() - 1 / (1 + ranks.unsqueeze(-2)).log2()).abs()
    if weighting == "lambda-rank":
        return changed
    apart = (ranks.unsqueeze(-1) - ranks.unsqueeze(-2)).abs().clamp(min=1)
    bound = 1 / (1 + apart).log2() - 1 / (2 + apart).log2()
    return bound if weighting == "ndcg-loss2" else mu * bound + changed
