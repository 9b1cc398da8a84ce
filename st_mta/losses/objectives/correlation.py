"""Pearson's correlation of the student's scores with its teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.distributions import centre, standardise


def pearson(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor) -> Tensor:
    """One minus Pearson's correlation over the valid candidates, in [0, 2].

    The rank imitation of D2LLM (Liao et al., https://arxiv.org/abs/2406.17262). It is indifferent to scale and
    temperature: log-probabilities correlate as the scores that they were made of. Deviation: over raw scores, where
    the paper correlates with probabilities of relevance; give these as label to do the same. Where the target or the
    student tells no candidates apart there is no correlation: 0 and 1, without gradient. Two candidates are always
    perfectly correlated, and candidates that the target rules out are left out. A student that is a rising line of
    the target has no loss and no gradient.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.

    Returns:
        (...).

    Example:
        >>> student, target = torch.tensor([[1.0, 2.0, 0.0]]), torch.tensor([[-1.0, -2.0, -3.0]])
        >>> pearson(student, target, torch.ones(1, 3) > 0)
        tensor([0.5000])
    """
    mask = mask & (target_log_probs > -torch.inf)
    wanted = standardise(target_log_probs, mask)
    count = mask.sum(dim=-1).clamp(min=1)
    centred = centre(student_logits, mask)
    variance = centred.square().sum(dim=-1) / count
    told_apart = standardise(student_logits.detach(), mask).any(dim=-1)
    # The square root of 0 has no gradient.
    deviation = torch.where(told_apart, variance, 1.0).sqrt()
    correlation = torch.where(told_apart, (centred * wanted).sum(dim=-1) / count / deviation, 0.0)
    return torch.where(wanted.any(dim=-1), 1 - correlation, 0.0)
