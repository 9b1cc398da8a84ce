"""What a student imitates in a list: the scorers' own distributions, or those of targets that a loss was given.

Targets may have more than the call: ``teacher`` for an objective that wants no assistant, ``observe`` to see how far
the student is, ``state`` and ``load_state`` where they learn from it, ``get_config_dict`` for the model card.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from st_mta.lookup import word_of
from st_mta.losses.batch import ListwiseBatch

Targets = Callable[[Tensor, Tensor], Tensor]
"""``(scores (B, S, N) raw, mask (B, N)) -> log-probabilities (B, T, N)``, the teacher's first."""


@torch.no_grad()
def log_probs_of(
    targets: Targets | None, batch: ListwiseBatch, temperature: float, *, of_teacher_alone: bool
) -> Tensor:
    """(B, T, N) log-probabilities to imitate.

    Args:
        targets: Of the loss; None takes every scorer's softmax.
        batch: With raw scores (B, S, N).
        temperature: Divides them where there are no targets.
        of_teacher_alone: Whether T is 1.

    Raises:
        InputError: If the targets return another shape.
    """
    if targets is None:
        scores = batch.scores[:, :1] if of_teacher_alone else batch.scores
        return masked_log_softmax(scores / temperature, batch.mask[:, None])
    if of_teacher_alone and (teacher := getattr(targets, "teacher", None)) is not None:
        alone: Tensor = teacher(batch.scores, batch.mask)[:, None]
        return alone  # nothing is selected, and no selection counted
    found = targets(batch.scores, batch.mask)
    num_queries, width = batch.mask.shape
    if found.ndim != 3 or found.shape[::2] != (num_queries, width) or found.shape[1] == 0:
        raise InputError(
            expected=f"targets to return (B, T, N) = ({num_queries}, T, {width}), T at least 1",
            got=str(tuple(found.shape)),
            remedy="return one row per target, the teacher's first",
        )
    return found[:, :1] if of_teacher_alone else found


def show_targets(targets: Targets | None, from_teacher: Tensor) -> None:
    """Tells targets that observe, in training, what the objective gives for the teacher."""
    if torch.is_grad_enabled() and (observe := getattr(targets, "observe", None)) is not None:
        observe(from_teacher)


def state_of(targets: Targets | None) -> dict[str, Any]:
    """What they have learned, for a checkpoint."""
    state = getattr(targets, "state", None)
    return state() if callable(state) else {}


def load_state(targets: Targets | None, state: dict[str, Any]) -> None:
    """Restores it from a checkpoint."""
    if state and (load := getattr(targets, "load_state", None)) is not None:
        load(state)


def described(targets: Targets) -> Any:
    """For the model card."""
    describe = getattr(targets, "get_config_dict", None)
    return describe() if describe else word_of(targets)
