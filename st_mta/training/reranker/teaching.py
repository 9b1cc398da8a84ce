"""A teacher that learns: the cross-encoder as a model under training, and its folders."""

from __future__ import annotations

from typing import Any

from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers import CrossEncoderScorer
from st_mta.scorers.lengths import limit_length, longest_input
from st_mta.scorers.reranking_student import checked_reranker
from st_mta.scorers.weights import in_full_precision
from st_mta.training.student_folders import StudentFolders, copied
from st_mta.types import Scorer

LEARNING_RATE = 1e-5
"""Of RocketQAv2 (https://arxiv.org/abs/2110.07367), Section 5.1, for both of its models."""


def teacher_folders(teacher: Scorer, precision: str) -> StudentFolders:
    """Saves and loads what the teacher becomes.

    Args:
        teacher: As it came; it is left alone.
        precision: Of its successors as frozen scorers.

    Raises:
        InputError: If it is no cross-encoder whose weights can be trained.
    """
    if not isinstance(teacher, CrossEncoderScorer):
        raise InputError(
            expected="a cross-encoder as teacher, for teacher_learns='stage'",
            got=f"{teacher.name} ({teacher.kind})",
            consequence="there would be no weights to train",
            remedy="name a cross-encoder, or leave teacher_learns out",
        )
    return StudentFolders(_trainable(teacher), precision=precision)


def _trainable(teacher: CrossEncoderScorer) -> CrossEncoder:
    """A copy with all weights under training, and with the lengths and prompts by which the teacher scores."""
    working: Any = teacher.model
    model: Any = copied(checked_reranker(teacher.original, teacher.name)).requires_grad_(True)
    limit_length(model, longest_input(working))
    model.prompts, model.default_prompt_name = dict(working.prompts), working.default_prompt_name
    return in_full_precision(model)
