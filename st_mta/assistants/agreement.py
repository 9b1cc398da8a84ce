"""Agreement: how close plain and fused assistants stand to the teacher, in the units people think in."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.assistants.selection import footrule, kl_divergence, rank_biased_overlap


def agreement(teacher_log_probs: Tensor, member_log_probs: Tensor, mask: Tensor) -> dict[str, Tensor]:
    """Means over the queries with at least two valid candidates.

    Args:
        teacher_log_probs: (Q, N) calibrated log-probabilities.
        member_log_probs: (Q, F, N) of the members of the pool.
        mask: (Q, N) bool, True for a valid candidate.

    Returns:
        Four (F,) tensors: "kl", KL(teacher || member) in nats; "footrule", the share of the greatest footrule
        distance; "rbo", the rank-biased overlap (1 for the same ranking); "top1", the share of queries whose best
        candidate is the same.
    """
    counted = mask.sum(dim=-1) >= 2
    parts = teacher_log_probs[counted], member_log_probs[counted], mask[counted]
    by_query = {
        "kl": kl_divergence(*parts),
        "footrule": footrule(*parts),
        "rbo": 1 - rank_biased_overlap(*parts),
        "top1": _same_best(*parts),
    }
    return {name: values.double().mean(dim=0) for name, values in by_query.items()}


def _same_best(teacher_log_probs: Tensor, member_log_probs: Tensor, mask: Tensor) -> Tensor:
    """(Q, F) 1.0 where teacher and member put the same candidate first (ties go to the first in the list)."""
    best, others = (
        logs.masked_fill(~valid, -torch.inf).argmax(dim=-1)
        for logs, valid in ((teacher_log_probs, mask), (member_log_probs, mask[:, None]))
    )
    return (others == best[:, None]).float()
