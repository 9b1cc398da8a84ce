"""The contrastive term: a query's positives against the other documents of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from st_mta.distributions import widen


def info_nce(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """InfoNCE with any number of positives per query, each against the negatives alone.

    Implements Eq. (4) of van den Oord, Li and Vinyals (2018, https://arxiv.org/abs/1807.03748) with a softmax of
    scaled similarities: -log(exp(s_p) / (exp(s_p) + sum of exp(s_n) over the negatives n)).
    Deviations: the mean over the query's positives p; no denominator has the query's other positives.

    Args:
        logits: (B, U) scaled similarities.
        positive: (B, U) bool.
        negative: (B, U) bool; documents in neither are left out.

    Returns:
        (B,) in nats; 0 for a query without positives or without negatives.
    """
    logits = widen(logits)
    # A finite filling: the gradient of logsumexp over nothing but -inf would be NaN.
    negatives = torch.where(negative, logits, torch.finfo(logits.dtype).min).logsumexp(dim=-1, keepdim=True)
    losses = torch.where(positive, F.softplus(negatives - torch.where(positive, logits, 0.0)), 0.0)
    return losses.sum(dim=-1) / positive.sum(dim=-1).clamp(min=1)
