"""Divergences: how far a student's distribution over a query's candidates is from a target's.

Masked candidates have no target mass *and* are out of the student's denominator, so their gradient is exactly zero;
lists of fewer than two valid candidates give 0. A student equal to the target has no loss and no gradient.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from st_mta.distributions import masked_kl, masked_log_softmax


def listwise_kl(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor) -> Tensor:
    """KL(target || student): the student has to cover all that the target holds likely.

    sum over valid candidates of p * (log p - log q), with q = softmax(student_logits) over the valid candidates: the
    term of MTA4DPR (Lu et al., EMNLP 2024), which is Hinton's distillation (https://arxiv.org/abs/1503.02531) over a
    candidate list. Deviation: no factor T^2.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be -inf.
        mask: (..., N) bool, True for a valid candidate.

    Returns:
        (...) in nats.

    Example:
        >>> student = torch.zeros(1, 2)
        >>> target = torch.tensor([[0.75, 0.25]]).log()
        >>> listwise_kl(student, target, torch.ones(1, 2, dtype=torch.bool))
        tensor([0.1308])
    """
    return masked_kl(target_log_probs, masked_log_softmax(student_logits, mask), mask)


def reverse_kl(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor) -> Tensor:
    """KL(student || target): the student may leave out what the target holds likely, but must add nothing.

    sum over valid candidates of q * (log q - log p), as MiniLLM (https://arxiv.org/abs/2306.08543) distils. Infinite
    where the target rules a candidate out. Arguments and result as for ``listwise_kl``.
    """
    return masked_kl(masked_log_softmax(student_logits, mask), target_log_probs, mask)


def jensen_shannon(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor) -> Tensor:
    """The mean of KL(target || m) and KL(student || m), m = (p + q) / 2: symmetric, and at most log 2.

    From Lin (IEEE Trans. Inf. Theory 1991), Eq. (4.1) with equal weights. Its bound keeps queries on which the two
    disagree completely from dominating a batch. Arguments and result as for ``listwise_kl``.
    """
    student = masked_log_softmax(student_logits, mask)
    # A finite filling: the gradient of logaddexp at two -inf would be NaN.
    student, target = torch.where(mask, student, 0.0), torch.where(mask, target_log_probs, 0.0)
    mean = torch.logaddexp(student, target) - math.log(2)
    return (masked_kl(target, mean, mask) + masked_kl(student, mean, mask)) / 2
