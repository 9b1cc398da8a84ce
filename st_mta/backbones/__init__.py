"""How a transformers backbone computes: rows without padding, and attention that a CPU is quick at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sentence_transformers.base.modules import Transformer
from sentence_transformers.sentence_transformer.modules import CNN
from torch import nn

from st_mta.backbones.ability import ability_of
from st_mta.backbones.packing import attention_set, padded, rows_packed

KNOWN = {"torch", "transformers", "sentence_transformers", "st_mta"}
"""Packages whose modules, but for CNN, mask the padding of token vectors."""

__all__ = ["can_pack", "packed", "padded"]


@contextmanager
def packed(model: nn.Module) -> Iterator[None]:
    """Within it, the transformers backbones of a model compute without padding where they can.

    A backbone is left as it is where it does not run on a CPU, has another attention than transformers' default, which
    is then the user's choice, or gives other token vectors when its rows are packed.

    Args:
        model: A SentenceTransformer, CrossEncoder, MultiVectorEncoder, or a module around one.
    """
    with ExitStack() as stack:
        for backbone in _backbones(model):
            found = ability_of(backbone)
            if found.reason is None:
                stack.enter_context(rows_packed(backbone))
            elif found.attention:
                stack.enter_context(attention_set(backbone))
        yield


def can_pack(model: nn.Module) -> bool:
    """Whether all backbones of a model compute without padding within [`packed`]."""
    backbones = _backbones(model)
    return bool(backbones) and all(ability_of(backbone).reason is None for backbone in backbones)


def _backbones(model: nn.Module) -> list[nn.Module]:
    """Those of a model that may be packed at all."""
    if any(hasattr(module, "_orig_mod") for module in model.modules()):
        return []  # compiled: it would be compiled anew for every number of tokens
    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    return [] if _may_read_padding(model, transformers) else [transformer.model for transformer in transformers]


def _may_read_padding(model: nn.Module, transformers: list[Transformer]) -> bool:
    """Whether a module around the backbones does not mask padding, or is a user's own, of which that is not known."""
    inside = {id(module) for transformer in transformers for module in transformer.modules()}
    around = [module for module in model.modules() if id(module) not in inside and module is not model]
    return any(isinstance(module, CNN) or type(module).__module__.split(".")[0] not in KNOWN for module in around)
