"""Which backbones can compute packed rows: found by trying, once for each architecture."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from st_mta.backbones.attention import NAME
from st_mta.backbones.calls import packed_call, parameters
from st_mta.backbones.mpnet import has_own_layers
from st_mta.backbones.packing import attention_set, rows_packed
from st_mta.backbones.rows import CannotPack

logger = logging.getLogger(__name__)

DEVICES = ("cpu",)
"""Where packing pays: elsewhere many small products cost more than padding does."""
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 5e-2, torch.float16: 1e-2}
"""Relative difference of token vectors, packed and padded, by rounding; a leak between rows makes one near 1."""
MOST_TRIED = 2**12
"""Tokens of the longest row tried; a window that is wider is not tried."""


@dataclass(frozen=True)
class Ability:
    """What a backbone can do.

    Attributes:
        attention: Whether it can use our attention at least.
        reason: Why it cannot be packed; None where it can.
    """

    attention: bool
    reason: str | None


_known: dict[tuple[Any, ...], Ability] = {}
_logged: set[tuple[type, str]] = set()


def ability_of(model: Any) -> Ability:
    """What the backbone of a model of transformers can do; where it cannot be packed, that is logged once."""
    if not isinstance(model, PreTrainedModel):
        return _said(model, Ability(False, "it is no model of transformers"))
    if model.device.type not in DEVICES:
        return Ability(False, f"on {model.device.type} padding costs less")
    own = model.config._attn_implementation
    if own not in ("sdpa", NAME) and not has_own_layers(model.base_model):
        chosen = "was chosen" if model._supports_sdpa else "is the only one that it has"
        return _said(model, Ability(False, f"the attention {own!r} {chosen}"))
    if any(_hooks(module) for module in model.modules()):
        return _said(model, Ability(False, "hooks in it expect padded rows"))
    key = model.config.to_json_string(), model.dtype, *map(type, model.modules())
    if key not in _known:
        _known[key] = _try(model)
    return _said(model, _known[key])


def _hooks(module: nn.Module) -> bool:
    """Whether a module has hooks of a user's own, who may count on padded rows."""
    found = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
    makers = {str(getattr(hook, "__module__", None) or type(hook).__module__).split(".")[0] for hook in found}
    return not makers <= {"transformers", "st_mta"}  # those of gradient checkpointing, and ours


def _said(model: Any, found: Ability) -> Ability:
    if found.reason is not None and (key := (type(model), found.reason)) not in _logged:
        _logged.add(key)
        logger.info("%s computes with padding: %s.", type(model).__name__, found.reason)
    return found


def _try(model: PreTrainedModel) -> Ability:
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.inference_mode(), torch.autocast(model.device.type, enabled=False):
            ids, mask = _probe(model)
            return Ability(*_compare(model, ids, mask, _vectors(model, ids, mask)))
    except Exception as error:  # by whatever a backbone makes of mere token ids
        return Ability(False, f"it cannot be tried ({type(error).__name__})")
    finally:
        for module, training in modes:
            module.training = training


def _compare(model: PreTrainedModel, ids: Tensor, mask: Tensor, expected: list[Tensor]) -> tuple[bool, str | None]:
    with attention_set(model):
        attention = _close(model, _vectors(model, ids, mask), expected)
    if "position_ids" not in parameters(type(model.base_model)):
        return attention, "it takes no positions"
    if packed_call(model.base_model, (), {"input_ids": ids, "attention_mask": mask}) is None:
        return attention, "its inputs are not those of a text encoder"
    try:
        with rows_packed(model):
            found = _vectors(model, ids, mask)
            leaks = _leaks(model, ids, mask, found[0])
    except (CannotPack, TypeError, RuntimeError, AttributeError) as error:
        return attention, str(error).splitlines()[0]
    close = _close(model, found, expected) and not leaks
    return attention, None if close else "packed rows give other token vectors"


def _leaks(model: PreTrainedModel, ids: Tensor, mask: Tensor, vectors: Tensor) -> bool:
    """Whether a row's vectors change with the words of another; exact in any precision."""
    others = mask.clone()
    others[-1] = 0
    changed = ids.clone()
    changed[-1] = ids[-1].flip(0)
    kept = others.bool()[mask.bool()]
    return not torch.allclose(_vectors(model, changed, mask)[0][kept], vectors[kept], rtol=0, atol=1e-6)


def _vectors(model: PreTrainedModel, ids: Tensor, mask: Tensor) -> list[Tensor]:
    """The token vectors (T, D) of what is no padding, and what a pooler makes of them."""
    output = model.base_model.forward(input_ids=ids, attention_mask=mask)
    pooled = getattr(output, "pooler_output", None)
    return [output[0][mask.bool()].float(), *([] if pooled is None else [pooled.float()])]


def _close(model: PreTrainedModel, found: list[Tensor], expected: list[Tensor]) -> bool:
    most = TOLERANCE.get(model.dtype, 0.0)
    return all(
        one.shape == other.shape and bool((one - other).norm() <= most * other.norm())
        for one, other in zip(found, expected, strict=True)
    )


def _probe(model: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Token ids and mask of short rows and, where layers look through a window, of one that is longer than it."""
    config = model.config.get_text_config()
    window = max(int(getattr(config, name, None) or 0) for name in ("sliding_window", "local_attention"))
    longest = min(
        max(16, window + 8), (getattr(config, "max_position_embeddings", None) or MOST_TRIED) - 4, MOST_TRIED
    )
    lengths = torch.tensor([5, 8, 3, 5, max(3, longest)])
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).long()
    ids = (torch.arange(mask.numel()).reshape(mask.shape) * 7919) % config.vocab_size
    padding = getattr(config, "pad_token_id", None)
    if padding is not None:
        ids[ids == padding] = (padding + 1) % config.vocab_size
        ids[mask == 0] = padding
    return ids.to(model.device), mask.to(model.device)
