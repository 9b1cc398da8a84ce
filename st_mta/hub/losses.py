"""All losses behind a loss, and their citations."""

from __future__ import annotations

from sentence_transformers.base.model import BaseModel
from torch import nn

from st_mta.citations import MTA4DPR as METHOD


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
