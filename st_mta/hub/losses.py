"""What a report keeps of the loss that trained: its name, its parameters, and the papers behind it."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any

from sentence_transformers.base.model import BaseModel
from torch import Tensor, nn

from st_mta.citations import MTA4DPR as METHOD
from st_mta.report.schema import TrainedLoss


def describe_loss(loss: nn.Module) -> TrainedLoss:
    """The loss as JSON, as it is now: describe it after its training, for what it fitted.

    Modules and functions among its parameters go by their names, tensors by their shapes.
    """
    config: Any = getattr(loss, "get_config_dict", dict)()
    return {
        "class": f"{type(loss).__module__}.{type(loss).__qualname__}",
        "config": _plain(config),
        "citations": {type(one).__name__: str(getattr(one, "citation", "")) for one in losses_of(loss)},
    }


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, dict):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return float(value) if math.isfinite(value) else str(value)
    if hasattr(value, "get_config_dict"):
        return {"class": type(value).__name__, **_plain(value.get_config_dict())}
    return str(getattr(value, "__name__", type(value).__name__))


def losses_of(loss: nn.Module) -> list[nn.Module]:
    """The loss and every loss inside it, however it is held (the host follows an attribute ``loss`` only).

    A module inside a loss counts as one if its class is named so or if it can be cited; models are not looked into.
    """
    return [loss, *(inner for child in loss.children() for inner in _inner_losses(child))]


def _inner_losses(module: nn.Module) -> list[nn.Module]:
    if isinstance(module, BaseModel):
        return []
    found = [module] if type(module).__name__.endswith("Loss") or hasattr(type(module), "citation") else []
    return found + [inner for child in module.children() for inner in _inner_losses(child)]


def with_method(citations: dict[str, str]) -> dict[str, str]:
    """Citations by name with the method's among them, joined with a loss that cites the same paper."""
    same = [name for name, text in citations.items() if text.strip() == METHOD.strip()]
    others = {name: text for name, text in citations.items() if name not in same}
    own = [name for name in same if not name.startswith("MTA4DPR")]
    return {**others, " and ".join(["MTA4DPR", *own]): METHOD}
