"""The list of an encoder's layers: where it is, and a backbone with some of them."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from st_mta.errors import InputError


def layer_list(backbone: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The encoder's list of layers and its dotted name.

    Raises:
        InputError: If it has none, as where one layer is applied several times.
    """
    expected = backbone.config.num_hidden_layers
    for name, module in backbone.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == expected:
            return name, module
    raise InputError(
        expected=f"an encoder with a list of {expected} layers",
        got=type(backbone).__name__,
        remedy="prune the model by hand and pass the result as the student",
    )


def set_layers(backbone: PreTrainedModel, name: str, kept: list[nn.Module], keep: Sequence[int], total: int) -> None:
    """Leaves only these layers in a backbone, and says so in its configuration.

    Args:
        backbone: Changed in place.
        name: Of its list, as of [`layer_list`].
        kept: The layers that stay, in their order.
        keep: Their places before.
        total: How many there were.
    """
    backbone.set_submodule(name, nn.ModuleList(kept))
    backbone.config.num_hidden_layers = len(keep)
    _prune_per_layer_settings(backbone.config, keep, total)
    _number(kept)


def put_back(backbone: PreTrainedModel, name: str, layers: nn.ModuleList, config: PreTrainedConfig) -> None:
    """Undoes [`set_layers`]; ``config`` is a deep copy of what the configuration was."""
    backbone.set_submodule(name, layers)
    # The modules inside share this object.
    vars(backbone.config).update(vars(config))
    _number(list(layers))


@contextmanager
def first_layers(backbone: Any, count: int) -> Iterator[None]:
    """Within it, a backbone ends after so many of its layers."""
    name, layers = layer_list(backbone)
    config = copy.deepcopy(backbone.config)
    set_layers(backbone, name, list(layers)[:count], range(count), len(layers))
    try:
        yield
    finally:
        put_back(backbone, name, layers, config)


def _number(layers: list[nn.Module]) -> None:
    """Tells every part of each layer which one it is."""
    for place, layer in enumerate(layers):
        for module in layer.modules():
            for name in {"layer_idx", "layer_id"} & vars(module).keys():
                setattr(module, name, place)


def _prune_per_layer_settings(config: object, keep: Sequence[int], total: int) -> None:
    """Shortens settings that hold one entry per layer (``layer_types`` of some encoders)."""
    layer_types = getattr(config, "layer_types", None)
    if isinstance(layer_types, list) and len(layer_types) == total:
        config.layer_types = [layer_types[index] for index in keep]  # type: ignore[attr-defined]
