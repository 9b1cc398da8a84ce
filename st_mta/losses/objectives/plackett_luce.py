"""Plackett and Luce's model: how probable the student holds it to draw the candidates in a wanted order."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.distributions import masked_log_softmax, widen
from st_mta.lookup import check_choice
from st_mta.losses.objectives.orders import best_first, finite, places, references
from st_mta.losses.similarity import check_range

Others = tuple[Tensor, Tensor]
"""Logits (..., M) of the batch's documents that are no candidates of a query, and a mask."""

ORDERS = ("teacher", "positives-first", "negatives", "given")
WEIGHTS = ("uniform", "confidence")


def plackett_luce(
    student_logits: Tensor,
    target_log_probs: Tensor,
    mask: Tensor,
    *,
    positive: Tensor,
    others: Others | None = None,
    order: str = "teacher",
    weights: str = "uniform",
    top: int | None = None,
    least: float = 0.0,
    hardest: int | None = None,
    in_batch: bool = False,
) -> Tensor:
    """Sum over the steps k of w_k * (logsumexp over j >= k of s_j - s_k), along an order of the candidates.

    With the defaults ListMLE (Xia et al., ICML 2008) over the target's order. Further methods by its options:

        PLD (https://arxiv.org/abs/2506.12542)          order="positives-first", weights="confidence"
        CPRD (Chen et al., CVPR 2024), beside InfoNCE   order="negatives", hardest=K, least=the probability below
                                                        which the target calls a negative easy
        Syntriever (https://arxiv.org/abs/2502.03824)   order="positives-first", top=2, in_batch=True
        BGE-M3's distillation, as in its code           order="given", weights="confidence", in_batch=True
        cross entropy                                   order="positives-first", top=1

    Not zero where student and target are equal, since an order does not say how far apart candidates are: with
    uniform weights the student can always grow surer of it. Candidates that the target holds equal keep their order
    in the list.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        positive: (..., N) bool.
        others: Further documents of the batch, with ``in_batch`` in every denominator.
        order: "teacher", by the target; "positives-first", then the others by the target; "negatives", those alone,
            by the target; "given", as they stand in the list. A list without a positive takes the target's best.
        weights: Of the steps: "uniform", 1 each, or "confidence", the target's probability of what is drawn.
        top: Steps at most; None is all. Those that are not drawn stay in the denominators.
        least: Steps to candidates with less than this probability by the target (among those that are ordered) are
            left out, but stay in the denominators.
        hardest: Of the negatives only those count that the student holds best, so many; None is all.
        in_batch: Whether the batch's other documents compete too.

    Returns:
        (...) in nats.

    Example:
        >>> student, target = torch.tensor([[0.0, 0.0, 0.0]]), torch.tensor([[-3.0, -1.0, -2.0]])
        >>> plackett_luce(student, target, torch.ones(1, 3) > 0, positive=torch.zeros(1, 3) > 0)  # log 3 + log 2
        tensor([1.7918])
    """
    _check(order, weights, top, least, hardest)
    first = references(target_log_probs, mask, positive)
    mask = _ordered(student_logits, mask, first, order, hardest)
    targets = masked_log_softmax(finite(target_log_probs, mask), mask)
    drawn = _order(targets, mask, first, order)
    steps, targets = mask.gather(-1, drawn), targets.gather(-1, drawn)
    logits = finite(student_logits, mask).gather(-1, drawn)
    values = _log_denominators(logits, steps, others if in_batch else None) - logits
    if top is not None:
        steps = steps & (torch.arange(steps.shape[-1], device=steps.device) < top)
    steps = steps & (targets.exp() >= least)
    if weights == "confidence":
        values = targets.exp() * values
    return torch.where(steps, values, 0.0).sum(dim=-1)


def _ordered(student_logits: Tensor, mask: Tensor, first: Tensor, order: str, hardest: int | None) -> Tensor:
    """(..., N) bool: the candidates that take part."""
    negative = mask & ~first
    if hardest is not None:
        negative = negative & (places(student_logits.detach(), negative) <= hardest)
    return negative if order == "negatives" else negative | first


def _order(targets: Tensor, mask: Tensor, first: Tensor, order: str) -> Tensor:
    """(..., N) places in the list in the order in which they are to be drawn, masked ones last."""
    if order == "given":
        return best_first(torch.zeros_like(targets), mask)
    by_target = best_first(targets, mask)
    if order != "positives-first":
        return by_target
    leads = (first & mask).gather(-1, by_target).long()
    return by_target.gather(-1, leads.argsort(dim=-1, descending=True, stable=True))


def _log_denominators(logits: Tensor, steps: Tensor, others: Others | None) -> Tensor:
    """(..., N) at every step the logsumexp of what is left, with the others of the batch."""
    lowest = torch.finfo(logits.dtype).min
    left = torch.where(steps, logits, lowest)
    if others is not None:
        further, valid = others
        further = torch.where(valid, widen(further), lowest).logsumexp(dim=-1, keepdim=True)
        left = torch.cat([left, further.expand(*left.shape[:-1], 1)], dim=-1)
    sums = left.flip(-1).logcumsumexp(dim=-1).flip(-1)
    return sums[..., : logits.shape[-1]]


def _check(order: str, weights: str, top: int | None, least: float, hardest: int | None) -> None:
    check_choice("order", order, ORDERS)
    check_choice("weights", weights, WEIGHTS)
    check_range("least", least, 0 <= least <= 1, "between 0 and 1")
    for name, number in (("top", top), ("hardest", hardest)):
        check_range(name, 1 if number is None else number, number is None or number >= 1, "at least 1")
