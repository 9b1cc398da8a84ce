"""A schedule for alpha: the weight of the teacher against the selected assistant changes over the run."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from st_mta.training.arguments import MultiAssistantTrainingArguments


def alpha_schedule(
    loss: nn.Module, arguments: MultiAssistantTrainingArguments, iteration: int
) -> AlphaSchedule | None:
    """The schedule of an iteration, counted from 0; None where ``alpha_end`` is not given."""
    if arguments.alpha_end is None:
        return None
    start = loss.alpha if arguments.alpha is None else arguments.alpha
    return AlphaSchedule(loss, float(start), arguments.alpha_end, iteration, arguments.num_iterations)  # type: ignore[arg-type]


class AlphaSchedule(TrainerCallback):
    """Sets the loss's ``alpha`` before each step, from ``start`` to ``end`` linearly over all steps of a run.

    alpha = start + (end - start) * (iteration + step / max_steps) / num_iterations. It depends on nothing but the
    step, so that a resumed training has the same alphas.

    Args:
        loss: A loss with an attribute ``alpha``.
        start: Value at the first step of the first iteration.
        end: Value that the last step of the last iteration comes near.
        iteration: Counted from 0.
        num_iterations: Iterations that the run was begun with, whether or not it stops early.
    """

    def __init__(self, loss: nn.Module, start: float, end: float, iteration: int, num_iterations: int) -> None:
        self.loss, self.start, self.end = loss, start, end
        self.iteration, self.num_iterations = iteration, num_iterations
        self.alpha = self.value(0.0)

    def value(self, done: float) -> float:
        """Alpha when this share of the iteration's steps is done."""
        return self.start + (self.end - self.start) * (self.iteration + done) / self.num_iterations

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Sets alpha for the step to come."""
        self.alpha = self.value(state.global_step / state.max_steps)
        self.loss.alpha = self.alpha  # type: ignore[assignment]
