"""Distributions of layers over a query's candidates: how far they are apart, and which know what is relevant."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.distributions import masked_kl, masked_log_softmax


def layer_log_probs(logits: Tensor, mask: Tensor) -> Tensor:
    """(B, L, N) log-probabilities of L layers from their logits, over the valid candidates (B, N)."""
    return masked_log_softmax(logits, mask[:, None])


def between_layers(teacher: Tensor, student: Tensor, mask: Tensor) -> Tensor:
    """KL of every layer of the student from every layer of the teacher.

    Args:
        teacher: (B, T, N) log-probabilities.
        student: (B, S, N) the same.
        mask: (B, N) bool, valid candidates.

    Returns:
        (B, T, S) in nats.
    """
    return masked_kl(teacher[:, :, None], student[:, None], mask[:, None, None])


def loss_of_positives(log_probs: Tensor, positive: Tensor) -> Tensor:
    """-log of the mass that each layer has on a query's positives, without gradient.

    Args:
        log_probs: (B, L, N).
        positive: (B, N) bool, valid positives.

    Returns:
        (B, L) in nats, 0 where a query has none.
    """
    listed = positive[:, None]
    mass = torch.where(listed, log_probs.detach(), torch.finfo(log_probs.dtype).min).logsumexp(dim=-1)
    return torch.where(listed.any(dim=-1), -mass, 0.0)


def weights_of_layers(losses: Tensor, temperature: float) -> Tensor:
    """(L,) mean losses of a teacher's layers -> (L,) weights that sum to 1, softmax(-loss / temperature).

    Example:
        >>> weights_of_layers(torch.tensor([0.0, 10.0]), 10.0)
        tensor([0.7311, 0.2689])
    """
    return (-losses / temperature).softmax(dim=-1)
