"""What makes a loss from a student and targets, and what it may be given by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn

from st_mta.losses.loss_options import TEACHER
from st_mta.losses.objectives import Objective

LOSS_OPTIONS = frozenset(
    {
        "alpha",
        "scale",
        "contrastive_scale",
        "contrastive_weight",
        "regression_weight",
        "regression_terms",
        "regression_map",
        "candidates",
        "in_batch_filter",
        "mini_batch_size",
        "return_components",
        "objective",
        "objective_options",
        "query_weights",
    }
)
"""What a factory may be given by keyword."""

SCALE_OF_CONTRASTIVE = "contrastive_scale"
"""The one of them that no argument of a run names, so that a user may."""

OBJECTIVE, FACTORY = 3, 2
"""Positional arguments of the two kinds of functions that users may give."""


class LossTargets(Protocol):
    """What a loss needs of ``AssistantTargets``: raw scores (B, S, N) and a mask (B, N) to log-probabilities."""

    def __call__(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, T, N), the teacher's first."""

    def teacher(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, N), the teacher's alone."""


@dataclass(frozen=True)
class LossFactory:
    """Makes a loss from a student and targets.

    Attributes:
        make: ``(student, targets, **options) -> nn.Module``.
        supports: The options of ``LOSS_OPTIONS`` that have an effect, read from the signature of ``make``.
        options: The further keyword parameters of ``make``, a user's to choose (``loss_options``), and their types.
        reads: Whether ``make`` takes a ``teacher``, a model whose layers the loss looks into.
        objective: By which lists are compared where a run names no other.
    """

    make: Callable[..., nn.Module]
    supports: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: bool = False
    objective: str | Objective = "kl"

    def __call__(
        self,
        student: SentenceTransformer | CrossEncoder,
        targets: LossTargets,
        *,
        chosen: Mapping[str, Any] | None = None,
        teacher: nn.Module | None = None,
        **options: Any,
    ) -> nn.Module:
        """The loss.

        Args:
            student: The model to train.
            targets: Of the run.
            chosen: Values of ``options``, which also take the place of those that the run would give.
            teacher: For a loss that ``reads``.
            options: Of ``LOSS_OPTIONS``; those that it does not support are left out.
        """
        given = {name: options[name] for name in options if name in self.supports}
        reading = {TEACHER: teacher} if self.reads else {}
        return self.make(student, targets, **{**given, **reading, **(chosen or {})})


def parameters_of(function: Callable[..., Any]) -> tuple[int, frozenset[str]]:
    """How many positional arguments are required, and which of ``LOSS_OPTIONS`` are accepted by keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a word on what it takes
        return 0, frozenset()
    positional = sum(one.kind <= one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in parameters)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        positional = max(positional, FACTORY)
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return positional, LOSS_OPTIONS
    return positional, LOSS_OPTIONS & {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY}
