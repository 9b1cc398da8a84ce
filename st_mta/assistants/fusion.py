"""Fusion: from the distributions of some assistants to those of all their combinations.

Letters: B queries, A assistants, F plain and fused assistants ("members" of the pool), N candidates.
A rule is a function ``(scores, memberships, mask) -> log-probabilities``; adding one is one function and one line
in ``FUSIONS``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations as combinations_of

import torch
from torch import Tensor

from st_mta.distributions import masked_log_softmax, standardise
from st_mta.errors import InputError
from st_mta.lookup import check_choice, find_function

Fusion = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``(scores (B, A, N) calibrated, memberships (F, A) bool, mask (B, N) bool) -> log-probabilities (B, F, N)``.

Scores are calibrated when divided by the assistant's temperature; the mask is True for a valid candidate, and masked
ones get -inf."""

_K, _SPREAD = 60, 2.0
"""The constant of reciprocal rank fusion in the paper; and the standard deviation of the fused logits, at which the
distribution of 8 to 64 ranked candidates has .53 to .68 of the greatest possible entropy."""

RULE = ("scores", "memberships", "mask")
"""What a rule is called with."""

MOST_MEMBERS = 256
"""The largest pool of plain and fused assistants: each costs a (B, N) block in every batch."""


def memberships(num_assistants: int, combinations: str = "all") -> Tensor:
    """Which assistants each member of the pool is made of: the plain ones first, then combinations of two and more.

    Args:
        num_assistants: A, the number of plain assistants.
        combinations: "all" (every combination of two or more, as in MTA4DPR), "pairs" or "none".

    Returns:
        (F, A) bool: the A plain assistants in pool order, then combinations by size, each size lexicographically.

    Raises:
        InputError: For an unknown word, or more than 256 members.
    """
    largest = {"all": num_assistants, "pairs": 2, "none": 1}
    check_choice("combinations", combinations, largest)
    if combinations == "all" and 2**num_assistants > MOST_MEMBERS:
        raise InputError(
            expected=f"at most {MOST_MEMBERS} plain and fused assistants",
            got=f"{num_assistants} assistants, which make {2**num_assistants - 1} combinations",
            remedy="use combinations='pairs' or 'none', or fewer assistants",
        )
    sizes = range(1, largest[combinations] + 1)
    members = [member for size in sizes for member in combinations_of(range(num_assistants), size)]
    table = torch.zeros(len(members), num_assistants, dtype=torch.bool)
    for row, member in enumerate(members):
        table[row, list(member)] = True
    return table


def member_names(names: Sequence[str], memberships: Tensor) -> list[str]:
    """The names of all members (F, A) of the pool; a combination is the A assistants' names joined by "+"."""
    return ["+".join(name for name, inside in zip(names, row) if inside) for row in memberships.tolist()]


def fuse_mean(scores: Tensor, memberships: Tensor, mask: Tensor) -> Tensor:
    """Each member's distribution is the simple mean of its assistants' distributions.

    Implements the fusion of MTA4DPR (Lu et al., EMNLP 2024): p_f = 1/|f| * sum of p_a over the assistants a of f.
    Deviations: none; computed on logarithms, so that no candidate's probability becomes zero by underflow.
    Uses a temporary of B * F * A * N numbers.
    """
    log_probs = masked_log_softmax(scores, mask[:, None])
    members = log_probs[:, None].masked_fill(~memberships[None, :, :, None], -torch.inf)  # (B, F, A, N)
    return members.logsumexp(dim=2) - memberships.sum(dim=1).log()[None, :, None]


def weighted_mean(weights: Sequence[float]) -> Fusion:
    """The rule whose distributions are weighted means: p_f = sum of w_a * p_a over the assistants a of f.

    The weights are renormalised within each combination, so a plain assistant keeps its own distribution; a
    combination whose weights are all zero is the simple mean.

    Args:
        weights: A weights in pool order, none negative, for instance from `fit_weights`.

    Returns:
        A rule like `fuse_mean`.

    Raises:
        InputError: If a weight is negative or not finite.
    """
    if not all(0 <= weight < math.inf for weight in weights):
        raise InputError(
            expected="weights of assistants that are finite and not negative",
            got=str(list(weights)),
            remedy="give one weight per assistant, for instance from fit_weights",
        )

    @cache
    def on(device: torch.device) -> Tensor:
        return torch.tensor(weights, dtype=torch.float32, device=device)  # copied there once, not in every step

    def fuse_weighted(scores: Tensor, memberships: Tensor, mask: Tensor) -> Tensor:
        table = memberships * on(memberships.device)
        table = torch.where((table > 0).any(dim=1, keepdim=True), table, memberships.float())
        shares = (table / table.sum(dim=1, keepdim=True)).log()
        log_probs = masked_log_softmax(scores, mask[:, None])
        return (log_probs[:, None] + shares[None, :, :, None]).logsumexp(dim=2)  # over (B, F, A, N)

    return fuse_weighted


def fuse_rrf(scores: Tensor, memberships: Tensor, mask: Tensor) -> Tensor:
    """Each combination's distribution follows the summed reciprocal ranks of its assistants.

    Implements Cormack, Clarke and Büttcher (SIGIR 2009): RRF(d) = sum over assistants of 1 / (60 + rank_a(d)), ranks
    counted from 1 within the valid candidates. Deviations: tied candidates share the average of their ranks, so that
    the order of candidates never decides; and since the student needs a distribution, the sums are standardised per
    query (zero mean, unit population standard deviation), multiplied by 2 and passed through a softmax, which is
    uniform where all sums are equal. A plain assistant keeps its own calibrated distribution, as under every rule.
    """
    ranks = _average_ranks(scores, mask)  # (B, A, N)
    # 1 / (K + rank) less 1 / (K + 1), which standardising removes again: the differences keep all their digits.
    reciprocal = (1 - ranks) / ((_K + 1) * (_K + ranks))
    # Products and sums instead of a matrix product, which accelerators may round to ten bits.
    sums = (reciprocal[:, None] * memberships[None, :, :, None]).sum(dim=2)  # (B, F, N)
    fused = masked_log_softmax(_SPREAD * standardise(sums, mask[:, None]), mask[:, None])
    plain = fuse_mean(scores, memberships, mask)
    return torch.where((memberships.sum(dim=1) == 1)[None, :, None], plain, fused)


def _average_ranks(scores: Tensor, mask: Tensor) -> Tensor:
    """Ranks from 1 (best) among valid candidates, ties averaged; (B, A, N) float, meaningless where masked."""
    filled = scores.float().masked_fill(~mask[:, None], -torch.inf).contiguous()
    ascending = filled.sort(dim=-1).values
    below_or_equal = torch.searchsorted(ascending, filled, right=True)
    below = torch.searchsorted(ascending, filled, right=False)
    better = filled.shape[-1] - below_or_equal
    return better + (below_or_equal - below + 1) / 2


FUSIONS: dict[str, Fusion] = {"mean": fuse_mean, "rrf": fuse_rrf}
"""Every fusion rule that needs no fitting; a function of the same signature is accepted too."""

FUSION_WORDS = (*FUSIONS, "weighted")
"""The words users write; "weighted" is `weighted_mean` with weights fitted on judged queries."""


def check_fusion(word: str) -> None:
    """Raises ``InputError`` unless the word is one of ``FUSION_WORDS`` or names a function that can be a rule.

    The function's module is imported; the function is not called.
    """
    check_choice("fusion", word, FUSION_WORDS, own=True)
    if word not in FUSION_WORDS:
        find_fusion(word, 1)


def find_fusion(fusion: str | Fusion, num_assistants: int, weights: Sequence[float] | None = None) -> Fusion:
    """The rule behind a word.

    Args:
        fusion: "mean", "rrf", "weighted", "module:function" or a function.
        num_assistants: A.
        weights: A weights; for "weighted" only.

    Raises:
        InputError: If there is no such rule, or weights are missing, too many, or not asked for.
    """
    if fusion != "weighted" and weights is None:
        return find_function("fusion", fusion, FUSIONS, FUSION_WORDS, parameters=RULE)
    if fusion == "weighted" and weights is not None and len(weights) == num_assistants:
        return weighted_mean(weights)
    raise InputError(
        expected=f"{num_assistants} weights (one per assistant) for fusion 'weighted', and none for any other",
        got=f"weights {None if weights is None else list(weights)} for fusion {fusion!r}",
        remedy="fit them with fit_weights, or leave them out",
    )
