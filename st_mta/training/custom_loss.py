"""A user's own loss has to know what the arguments ask of it."""

from __future__ import annotations

from torch import nn

from st_mta.errors import InputError
from st_mta.training.arguments import MultiAssistantTrainingArguments


def refuse_heedless_loss(loss: nn.Module, arguments: MultiAssistantTrainingArguments) -> None:
    """Refuses a loss that would not do what an argument says.

    Raises:
        InputError: If ``regression_weight`` is positive and the loss has no such weight, or there is an ``alpha_end``
            and it has no ``alpha``.
    """
    if arguments.regression_weight and not getattr(loss, "regression_weight", 0):
        _refuse(loss, "a positive regression_weight", f"regression_weight={arguments.regression_weight}")
    if arguments.alpha_end is not None and not hasattr(loss, "alpha"):
        _refuse(loss, "an attribute alpha", f"alpha_end={arguments.alpha_end}")


def _refuse(loss: nn.Module, what: str, argument: str) -> None:
    raise InputError(
        expected=f"a loss with {what}, since the arguments say {argument}",
        got=f"{type(loss).__name__} without",
        consequence="the argument would have no effect",
        remedy="take the argument back, or build the loss with it",
    )
