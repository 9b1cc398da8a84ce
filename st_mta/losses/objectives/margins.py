"""Margin-MSE: the student's distance between a positive and any other candidate is its teacher's."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.losses.objectives.orders import finite, references


def margin_mse(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, *, positive: Tensor) -> Tensor:
    """Mean over the pairs of a positive i and another candidate j of ((s_i - s_j) - (t_i - t_j))^2.

    Hofstätter et al. (https://arxiv.org/abs/2010.02666). Log-probabilities differ as the scores that they
    were made of, divided by their temperature; so with scale and temperature 1 these are the margins of the paper.
    From several targets the gradient is that of the mean of their margins, its "T2". Deviations: several positives
    count alike; in a list without one the candidate that the target holds best takes its place; candidates that the
    target rules out are left out. A student equal to the target up to a constant has no loss and no gradient.

    Args:
        student_logits: (..., N) scaled similarities.
        target_log_probs: (..., N) log-probabilities; masked ones may be anything.
        mask: (..., N) bool, True for a valid candidate.
        positive: (..., N) bool.

    Returns:
        (...) in squared units of the logits.

    Example:
        >>> student, target = torch.tensor([[3.0, 1.0]]), torch.tensor([[0.75, 0.25]]).log()
        >>> margin_mse(student, target, torch.ones(1, 2) > 0, positive=torch.tensor([[True, False]]))
        tensor([0.8125])
    """
    mask = mask & (target_log_probs > -torch.inf)
    first = references(target_log_probs, mask, positive)
    other = mask & ~first
    error = finite(student_logits, mask) - finite(target_log_probs, mask)
    # Around the mean error of the positives the mean over pairs falls apart into two means.
    error = error - _mean(error, first)
    values = _mean(error.square(), first) + _mean(error.square(), other)
    return torch.where((first.any(dim=-1) & other.any(dim=-1)), values.squeeze(-1), 0.0)


def _mean(values: Tensor, rows: Tensor) -> Tensor:
    """(..., 1) mean over these candidates; 0 where there is none."""
    return torch.where(rows, values, 0.0).sum(dim=-1, keepdim=True) / rows.sum(dim=-1, keepdim=True).clamp(min=1)
