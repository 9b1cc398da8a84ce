"""Objectives: what a student's scores of a query's candidates are compared with a target's by.

An objective is a function ``(student_logits, target_log_probs, mask) -> values``, all three (..., N) of one shape and
values (...), lower is better; adding one is one function and one line in ``OBJECTIVES``. Masked candidates have no
influence and exactly no gradient; lists of fewer than two valid candidates give 0. By keyword it may ask for more of
the batch, see ``st_mta.losses.objectives.chosen.GIVEN``; its other keyword parameters are options for users. One that
learns weights is a subclass of ``torch.nn.Module`` with options as arguments and such a ``forward``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from st_mta.losses.objectives.approximate_ranks import adr_mse, approx_mrr, approx_ndcg
from st_mta.losses.objectives.binary import BinaryCrossEntropy
from st_mta.losses.objectives.correlation import pearson
from st_mta.losses.objectives.divergences import jensen_shannon, listwise_kl, reverse_kl
from st_mta.losses.objectives.margins import margin_mse
from st_mta.losses.objectives.pairwise import lambda_rank, ranknet
from st_mta.losses.objectives.plackett_luce import plackett_luce

Objective = Callable[..., Any]
"""``(student_logits (..., N), target_log_probs (..., N), mask (..., N) bool) -> (...)``, or a module's class."""

DIVERGENCES: dict[str, Objective] = {
    "kl": listwise_kl,
    "reverse-kl": reverse_kl,
    "jensen-shannon": jensen_shannon,
    "js": jensen_shannon,
}
"""Those between distributions, which a student equal to its target has least of."""

OBJECTIVES: dict[str, Objective] = {
    **DIVERGENCES,
    "margin-mse": margin_mse,
    "plackett-luce": plackett_luce,
    "ranknet": ranknet,
    "lambda": lambda_rank,
    "adr-mse": adr_mse,
    "approx-ndcg": approx_ndcg,
    "approx-mrr": approx_mrr,
    "pearson": pearson,
    "bce": BinaryCrossEntropy,
}
"""Every objective by the word users write; a function of the same signature is accepted too."""

__all__ = ["DIVERGENCES", "OBJECTIVES", "Objective", "listwise_kl"]
