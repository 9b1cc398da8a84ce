"""What the arguments leave open, settled once for a run; the caller's arguments stay as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.errors import InputError
from st_mta.precision import resolve_precision
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.regression_weights import usable_bi_encoders
from st_mta.training.sharing import order_of_batches
from st_mta.types import Scorer

WEIGHT = 3.0
"""Of regression beside the listwise terms, chosen on development queries (benchmarks/assistants)."""
CANDIDATES = 16
"""Passages per query where the scorers can score any."""
MOST_LISTED = 64
"""Where the teacher's scores are given all that it has scored: published files have up to so many."""


@dataclass(frozen=True)
class Settled:
    """What a run computes in and with.

    Attributes:
        device: Its type, such as "cpu".
        bf16: Whether training computes in bf16.
        regression_weight: Of embedding regression in every iteration.
        num_candidates: Passages per query at most.
    """

    device: str
    bf16: bool
    regression_weight: float
    num_candidates: int = CANDIDATES

    @property
    def precision(self) -> str:
        """Of frozen scorers: what "auto" came to."""
        return "bf16" if self.bf16 else "fp32"


def settle(
    arguments: MultiAssistantTrainingArguments,
    scorers: Sequence[Scorer],
    student: SentenceTransformer | CrossEncoder,
    uses_regression: bool,
) -> Settled:
    """Settles what the arguments leave open.

    Args:
        arguments: Of the run.
        scorers: Teacher and assistants.
        student: Without a map, its width decides who can be regressed to; a cross-encoder is regressed to nobody.
        uses_regression: Whether the loss has a term for it.

    Raises:
        InputError: If ``regression_weight`` is positive and no bi-encoder fits, ``bf16`` contradicts ``precision``,
            or ``batches`` a ``batch_sampler``.
    """
    order_of_batches(arguments)  # refuses two orders before anything runs
    weight, width, fitting = arguments.regression_weight, None, []
    if not isinstance(student, CrossEncoder):
        width = student.get_embedding_dimension()
        fitting = usable_bi_encoders(scorers, width, arguments.regression_map)
    if weight is None:
        weight = WEIGHT if fitting and uses_regression else 0.0
    if weight and not fitting:
        raise InputError(
            expected=f"a bi-encoder among the scorers{_of_width(width, arguments.regression_map)} (regression_weight "
            f"is {weight})",
            got=", ".join(f"{scorer.name} ({scorer.kind})" for scorer in scorers),
            remedy="bring such an assistant, or set regression_weight=0",
        )
    given = scorers[0].partial and scorers[0].can_retrieve
    num_candidates = arguments.num_candidates or (MOST_LISTED if given else CANDIDATES)
    return Settled(arguments.device.type, computes_in_bf16(arguments), weight, num_candidates)


def _of_width(width: int | None, kind: str) -> str:
    return f" with {width} dimensions, as the student has" if kind == "none" else ""


def computes_in_bf16(arguments: MultiAssistantTrainingArguments) -> bool:
    """Whether a run trains in bf16: where the host's ``bf16`` says so, or else ``precision``.

    Raises:
        InputError: If the two contradict each other.
    """
    if arguments.bf16 and arguments.precision == "fp32":
        raise InputError(
            expected="bf16 and precision to agree",
            got="bf16=True and precision='fp32'",
            remedy="leave one of them out",
        )
    if arguments.fp16:
        return False
    return arguments.bf16 or resolve_precision(arguments.precision, arguments.device) == torch.bfloat16


def inner_arguments(
    arguments: MultiAssistantTrainingArguments, settled: Settled, folder: Path, **changes: Any
) -> MultiAssistantTrainingArguments:
    """The arguments of one training within a run: the only place where they are made.

    Args:
        arguments: Of the run.
        settled: What they left open.
        folder: For its checkpoints.
        changes: What differs in this training.
    """
    inside = {
        "output_dir": str(folder),
        "bf16": settled.bf16,
        "use_cpu": settled.device == "cpu",
        "hub_token": None,
        "push_to_hub": False,  # only the finished student is published
        "regression_weight": settled.regression_weight,
    }
    return replace(arguments, **{**inside, **changes})
