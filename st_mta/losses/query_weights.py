"""How much each query of a batch weighs in what the student imitates."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from st_mta.distributions import masked_entropy, masked_log_softmax
from st_mta.errors import InputError
from st_mta.lookup import find_function, word_of
from st_mta.losses.objectives.orders import references
from st_mta.over_processes import summed

QueryWeights = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""``(student_logits, target_log_probs, mask, positive) -> (B,)``, all four (B, N), the target the teacher's."""
UNIFORM = "uniform"


def confidence(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, positive: Tensor) -> Tensor:
    """One minus the teacher's entropy as a share of that of a uniform distribution, in [0, 1].

    The self-paced distillation of ADAM (Tao et al., https://arxiv.org/abs/2212.10192) learns more from what the
    teacher is sure of. Deviation: a weight by entropy instead of a growing subset by the teacher's score.
    """
    log_probs = masked_log_softmax(target_log_probs, mask)
    most = mask.sum(dim=-1).clamp(min=2).to(log_probs.dtype).log()
    return (1 - masked_entropy(log_probs, mask) / most).clamp(min=0)


def error(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, positive: Tensor) -> Tensor:
    """The probability that the student gives to candidates other than the positives, in [0, 1].

    The weight (1 - q) of a positive in the contrastively weighted divergence of Yang et al.
    (https://arxiv.org/abs/2406.05977): what the student ranks well already teaches it less. Deviation: of the whole
    list instead of single candidates. In a list without a positive the teacher's best takes its place.
    """
    first = references(target_log_probs, mask, positive)
    probabilities = masked_log_softmax(student_logits, mask).exp()
    return (1 - torch.where(first, probabilities, 0.0).sum(dim=-1)).clamp(min=0)


def uniform(student_logits: Tensor, target_log_probs: Tensor, mask: Tensor, positive: Tensor) -> Tensor:
    """One for every query."""
    return torch.ones_like(mask[:, 0], dtype=torch.float32)


QUERY_WEIGHTS: dict[str, QueryWeights] = {UNIFORM: uniform, "confidence": confidence, "error": error}
"""Every weight of queries by the word users write; a function of the same signature is accepted too."""


def find_query_weights(named: str | QueryWeights) -> QueryWeights:
    """The function behind a word, a function or a "module:function".

    Raises:
        InputError: If there is none.
    """
    arguments = ("student_logits", "target_log_probs", "mask", "positive")
    return find_function("query_weights", named, QUERY_WEIGHTS, parameters=arguments)


@torch.no_grad()
def weigh_queries(
    weigh: QueryWeights,
    student_logits: Tensor,
    target_log_probs: Tensor,
    mask: Tensor,
    positive: Tensor,
    *,
    training: bool,
    first: bool = False,
) -> Tensor:
    """The weights of a batch's queries, with mean 1 over those lists of all processes that count.

    Args:
        weigh: The function.
        student_logits: (B, N) scaled similarities.
        target_log_probs: (B, N) the teacher's.
        mask: (B, N) bool, True for a valid candidate; lists of fewer than two do not count.
        positive: (B, N) bool.
        training: Whether all processes come by with their part of a batch; in evaluation each is alone.
        first: Whether to look at the values too, which would hold up an accelerator in every batch.

    Returns:
        (B,) without gradient; 1 everywhere where all weigh nothing.

    Raises:
        InputError: If the function returns another shape, or in the first batch a weight below 0 or NaN.
    """
    counts = mask.sum(dim=-1) >= 2
    weights = weigh(student_logits, target_log_probs, mask, positive)
    if not isinstance(weights, Tensor) or weights.shape != counts.shape:
        got = str(tuple(weights.shape)) if isinstance(weights, Tensor) else f"{weights!r}, which is no tensor"
        _refuse(weigh, f"one weight per query, {tuple(counts.shape)}", got)
    weights = torch.where(counts, weights, 0.0)
    if first and not bool((weights >= 0).all()):
        _refuse(weigh, "weights of at least 0", f"{float(weights.min())} as the least in the first batch")
    found = torch.stack([weights.sum().double(), counts.sum().double()])
    total, number = (summed(found) if training else found).unbind()
    return torch.where(total > 0, weights * (number / total).to(weights), 1.0)


def _refuse(weigh: QueryWeights, expected: str, got: str) -> NoReturn:
    raise InputError(
        expected=f"query_weights {word_of(weigh)!r} to return {expected}",
        got=got,
        remedy="give each query a share of its own, such as 1 - entropy / log(N)",
    )
