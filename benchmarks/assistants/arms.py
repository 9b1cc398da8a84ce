"""The arms: what the student learns from, everything else being equal.

Every arm goes through the same iterations of st_mta (mine, score, train, evaluate), starts from the same warmed-up
student, and has the same number of queries, candidates and steps; the lists of the first iteration are the same ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from torch import Tensor, nn

from benchmarks.assistants.sampler import NoForeignPositives
from st_mta.assistants.targets import AssistantTargets
from st_mta.distributions import masked_log_softmax
from st_mta.losses import ListwiseKLLoss, find_loss

SCALE = 20.0
"""Of the student's cosine similarities in contrastive terms; all others take the scale that was fitted."""

LossOf = Callable[[SentenceTransformer, AssistantTargets], nn.Module]


@dataclass(frozen=True)
class Arm:
    """One way to teach.

    Attributes:
        what: In words, for the table.
        loss: Makes the loss; None for st_mta's own.
        arguments: Training arguments that differ from the default.
        one_iteration: Whether everything is learned in one iteration, twice as large.
    """

    what: str
    loss: LossOf | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    one_iteration: bool = False


def mnrl(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
    """In-batch and hard negatives, from the labels alone."""
    return find_loss("mnrl")(student, targets, contrastive_scale=SCALE)


def margin_mse(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
    """Margins of the teacher's calibrated logits, in the unit of the student's similarities."""
    return find_loss("margin-mse")(student, targets, scale=targets.student_scale)


def kl(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
    """KL from the teacher alone, at the temperature at which the student is as sure as the teacher."""
    return find_loss("distill-kl-div")(student, targets, scale=targets.student_scale)


def embed(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
    """Embedding regression to the best bi-encoder."""
    return find_loss("embed-distill")(student, targets)


def uniform_mean(student: SentenceTransformer, targets: AssistantTargets) -> nn.Module:
    """KL to the mean distribution of teacher and assistants, all weighing the same."""
    temperatures = torch.tensor(targets.temperatures)

    def mean(scores: Tensor, mask: Tensor) -> Tensor:
        log_probs = masked_log_softmax(scores / temperatures.to(scores)[:, None], mask[:, None])
        return log_probs.logsumexp(dim=1, keepdim=True) - torch.tensor(float(len(temperatures))).log()

    return ListwiseKLLoss(student, targets=mean, scale=targets.student_scale)


def never_far(teacher: Tensor, fused: Tensor, mask: Tensor) -> Tensor:
    """A selection metric by which all assistants are equally close, so that the first in pool order is fixed."""
    return torch.zeros(fused.shape[:2], device=fused.device)


LIST_RATE, REGRESSION_RATE = 1e-4, 2e-4
"""Peak learning rates, chosen on development queries: what learns from lists, and what regresses embeddings."""
LISTS = {"learning_rate": LIST_RATE}
DEFAULT = {"learning_rate": REGRESSION_RATE}
"""The package's own defaults: regression to the best bi-encoder, and the teacher alone where it knows most."""
HALF = {**DEFAULT, "alpha": 0.5}
PAPER = {"alpha": 0.5, "regression_weight": 0.0, **LISTS}
TO_EMBEDDINGS = {"regression_weight": 1.0, "learning_rate": REGRESSION_RATE}
FIXED = {"combinations": "none", "selection": "benchmarks.assistants.arms:never_far"}

ARMS: dict[str, Arm] = {
    "mnrl": Arm("MultipleNegativesRankingLoss, hard negatives", mnrl, {"batch_sampler": NoForeignPositives}),
    "margin_mse": Arm("MarginMSELoss, teacher", margin_mse, LISTS),
    "kl": Arm("DistillKLDivLoss, teacher", kl, LISTS),
    "embed": Arm("EmbedDistillLoss, best bi-encoder", embed, TO_EMBEDDINGS),
    "uniform_mean": Arm("KL to the mean of all scorers", uniform_mean, LISTS),
    "st_mta": Arm("st_mta", None, DEFAULT),
    "with_assistants": Arm("st_mta, the selected assistant weighs half", None, HALF),
    "paper": Arm("st_mta as in the paper, no regression", None, PAPER),
    "without_fusion": Arm("the same half, no fused assistants", None, {**HALF, "combinations": "none"}),
    "without_selection": Arm("the same half, the best assistant fixed", None, {**HALF, **FIXED}),
    "without_iterations": Arm("st_mta, one long iteration", None, DEFAULT, one_iteration=True),
    "without_harder_queries": Arm("st_mta, no harder queries", None, {**DEFAULT, "curriculum": "none"}),
    "per_query": Arm("the same half, selection per query", None, {**HALF, "select_per": "query"}),
    "footrule": Arm("the same half, selection by footrule", None, {**HALF, "selection": "footrule"}),
    "rbo": Arm("the same half, selection by rank-biased overlap", None, {**HALF, "selection": "rbo"}),
}
