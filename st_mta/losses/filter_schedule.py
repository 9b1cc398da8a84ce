"""Raises a loss's iteration with every epoch of a stock trainer."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from st_mta.losses.filtered_contrastive import FilteredContrastiveLoss


def set_filter_iteration(loss: nn.Module, iteration: int) -> None:
    """Tells every ``FilteredContrastiveLoss`` in a loss which margin of its filter's schedule holds."""
    for module in loss.modules():
        if isinstance(module, FilteredContrastiveLoss):
            module.iteration = iteration


class FilterSchedule(TrainerCallback):  # type: ignore[misc]
    """Makes each epoch one iteration of the filter's schedule; resuming continues with the right one.

    Args:
        loss: A ``FilteredContrastiveLoss``, or a loss with one inside.

    Example:
        ::

            loss = FilteredContrastiveLoss(model, filter=DynamicFilter(relative_margin=[0.0, 0.05, 0.1]))
            trainer = SentenceTransformerTrainer(..., loss=loss, callbacks=[FilterSchedule(loss)])
    """

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Counts iterations from 0."""
        set_filter_iteration(self.loss, int(state.epoch or 0))
