"""Selection: which plain or fused assistant is closest to the teacher.

Letters: B queries, F plain and fused assistants, N candidates. A metric is a function
``(teacher_log_probs, fused_log_probs, mask) -> distance``, lower is closer, 0 for a copy of the teacher; adding one is
one function and one line in ``SELECTIONS``.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from st_mta.distributions import masked_kl
from st_mta.lookup import check_choice, find_function

Metric = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(teacher (B, N) log-probabilities, fused (B, F, N) log-probabilities, mask (B, N) bool) -> (B, F)``."""

SELECT_PER = ("batch", "query")

_TIED = 1e-6
"""Distances closer than this are ties: rounding differs between machines and must not decide."""

METRIC = ("teacher_log_probs", "fused_log_probs", "mask")
"""What a metric is called with."""

_PERSISTENCE = 0.9
"""p of rank-biased overlap: the chance that a reader continues to the next candidate."""


def kl_divergence(teacher_log_probs: Tensor, fused_log_probs: Tensor, mask: Tensor) -> Tensor:
    """KL(teacher || assistant), the closeness MTA4DPR (Lu et al., EMNLP 2024) selects by. Deviations: none.

    Returns:
        (B, F) in nats; infinite where an assistant rules out what the teacher allows.
    """
    return masked_kl(teacher_log_probs[:, None], fused_log_probs, mask[:, None])


def footrule(teacher_log_probs: Tensor, fused_log_probs: Tensor, mask: Tensor) -> Tensor:
    """Spearman's footrule of the two rankings, as a share of the greatest one possible.

    d(f) = sum over valid candidates of |rank_t - rank_f|. Deviation: divided by its maximum floor(n^2 / 2) for a list
    of n, so that long lists do not outweigh short ones in the mean over a batch. Ties keep candidate order.

    Returns:
        (B, F) in [0, 1]; 0 for lists of fewer than two.
    """
    teacher, fused = _ranks(teacher_log_probs, mask)[:, None], _ranks(fused_log_probs, mask[:, None])
    moved = (teacher - fused).abs().sum(dim=-1)  # masked candidates have the same last ranks in both
    lengths = mask.sum(dim=-1, keepdim=True)
    return moved / (lengths.square() // 2).clamp(min=1)


def rank_biased_overlap(teacher_log_probs: Tensor, fused_log_probs: Tensor, mask: Tensor) -> Tensor:
    """One minus the rank-biased overlap of the two rankings, in which the top of the list weighs most.

    From Webber, Moffat and Zobel (TOIS 2010), Eq. (4): RBO = (1 - p) * sum over depths d of p^(d - 1) * A_d, with A_d
    the share of common candidates among the first d. Deviation: the sum ends at the list's length n and is divided by
    1 - p^n, the weight of these depths, so that equal rankings have distance 0 (the extrapolated form would let the
    complete agreement at depth n count for all that follows and so give every pair of short lists distance 0).
    Ties keep candidate order.

    Returns:
        (B, F) in [0, 1]; 0 for lists of fewer than two.
    """
    teacher, fused = _ranks(teacher_log_probs, mask)[:, None], _ranks(fused_log_probs, mask[:, None])
    # A candidate is common to both lists from the depth of its worse rank on; masked ones join behind all others.
    joins_at = torch.maximum(teacher, fused)
    entering = torch.zeros_like(joins_at).scatter_add_(-1, joins_at - 1, torch.ones_like(joins_at))
    depth = torch.arange(1, mask.shape[-1] + 1, device=mask.device)
    weight = torch.where(depth <= mask.sum(dim=-1, keepdim=True), _PERSISTENCE ** (depth - 1).float(), 0.0)[:, None]
    agreement = entering.cumsum(dim=-1) / depth
    overlap = (weight * agreement).sum(dim=-1) / weight.sum(dim=-1).clamp(min=1)
    return torch.where(mask.any(dim=-1, keepdim=True), (1 - overlap).clamp(min=0), 0.0)


def _ranks(log_probs: Tensor, mask: Tensor) -> Tensor:
    """Ranks from 1 (best), ties in candidate order, masked candidates last in that order; int64, same shape."""
    # A valid candidate may have -inf as well; the clamp keeps it before the masked ones.
    filled = log_probs.clamp(min=torch.finfo(log_probs.dtype).min).masked_fill(~mask, -torch.inf)
    return filled.argsort(dim=-1, descending=True, stable=True).argsort(dim=-1) + 1


SELECTIONS: dict[str, Metric] = {"kl": kl_divergence, "footrule": footrule, "rbo": rank_biased_overlap}
"""Every selection metric by the word users write; a function of the same signature is accepted too."""


BANDIT = "bandit"
"""The word for a choice among the metrics that is learned while the student trains."""
WORDS = (*SELECTIONS, BANDIT)


def check_selection(word: str) -> None:
    """Raises ``InputError`` as `find_selection` does; a function's module is imported, the function is not called."""
    check_choice("selection", word, WORDS, own=True)
    if word != BANDIT:
        find_selection(word)


def find_selection(selection: str | Metric) -> Metric:
    """The metric behind a word, a "module:function" or a function; raises ``InputError`` if it cannot be one."""
    return find_function("selection", selection, SELECTIONS, WORDS, parameters=METRIC)


def select(
    distances: Tensor,
    per: str = "batch",
    valid: Tensor | None = None,
    summed: Callable[[Tensor], Tensor] | None = None,
) -> Tensor:
    """Chooses for each query the plain or fused assistant closest to the teacher.

    Args:
        distances: (B, F) distances; an undefined one (NaN) never wins.
        per: "batch" chooses one member for all queries, by the mean over the valid ones (MTA4DPR's way); "query"
            chooses for each query.
        valid: (B,) bool, the queries that count for the mean (those with at least two valid candidates); default all.
        summed: Adds up what the processes of a training have, for a batch that is spread over several of them.

    Returns:
        (B,) int64 member of each query. Ties (closer than 1e-6) go to the first in pool order.

    Raises:
        InputError: For an unknown ``per``.
    """
    check_choice("select_per", per, SELECT_PER)
    distances = torch.nan_to_num(distances, nan=torch.inf, posinf=torch.inf)
    if per == "query":
        return _first_smallest(distances)
    rows = torch.ones_like(distances[:, 0], dtype=torch.bool) if valid is None else valid
    totals = torch.cat([torch.where(rows[:, None], distances, 0.0).sum(dim=0), rows.sum(dim=0, keepdim=True)])
    totals = totals if summed is None else summed(totals)
    mean = totals[:-1] / totals[-1].clamp(min=1)
    return _first_smallest(mean[None]).expand(len(distances))


def _first_smallest(distances: Tensor) -> Tensor:
    """(R, F) -> (R,): the first member whose distance is the smallest, give or take rounding."""
    near = distances <= distances.min(dim=-1, keepdim=True).values + _TIED
    return near.int().argmax(dim=-1)


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
    by_query = {name: distance(*parts) for name, distance in SELECTIONS.items()}
    by_query |= {"rbo": 1 - by_query["rbo"], "top1": _same_best(*parts)}
    return {name: values.double().mean(dim=0) for name, values in by_query.items()}


def _same_best(teacher_log_probs: Tensor, member_log_probs: Tensor, mask: Tensor) -> Tensor:
    """(Q, F) 1.0 where teacher and member put the same candidate first (ties go to the first in the list)."""
    best, others = (
        logs.masked_fill(~valid, -torch.inf).argmax(dim=-1)
        for logs, valid in ((teacher_log_probs, mask), (member_log_probs, mask[:, None]))
    )
    return (others == best[:, None]).float()
