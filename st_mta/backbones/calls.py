"""What a backbone is called with: by name, whether its rows can be packed, and the same call with packed rows."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, nn

from st_mta.backbones.rows import PackedRows

TOKENS = ("input_ids", "token_type_ids", "position_ids")
"""Inputs with one number per token; a call with other tensors stays padded."""
INSIGHTS = ("output_attentions", "output_hidden_states")
"""What shows the layers of a backbone, which whoever asks for it expects padded."""
ROWS = "packed_rows"
"""Keyword by which attention layers are told of the rows."""


def packed_call(backbone: Any, given: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any] | None:
    """The inputs of a call with packed rows for padded ones; None where it has to stay padded."""
    names = parameters(type(backbone))
    inputs = {**dict(zip(names, given)), **named}
    if len(given) > len(names) or not _is_plain(backbone, inputs):
        return None
    mask = inputs["attention_mask"]
    rows = PackedRows.of(mask)
    tokens = {name: rows.pack(inputs[name]) for name in TOKENS if inputs.get(name) is not None}
    more = {"use_cache": False} if "use_cache" in names else {}
    at = _positions(backbone, inputs, rows)
    return {**inputs, **tokens, **more, "position_ids": at, "attention_mask": None, ROWS: rows}


def parameters(kind: Any) -> tuple[str, ...]:
    """Names of what the forward method of a class takes."""
    found = list(inspect.signature(kind.forward).parameters.values())[1:]
    return tuple(each.name for each in found if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY))


def _is_plain(backbone: Any, inputs: dict[str, Any]) -> bool:
    """Whether a call is about token ids and a mask (R, L) alone."""
    mask, ids = inputs.get("attention_mask"), inputs.get("input_ids")
    if not (isinstance(mask, Tensor) and isinstance(ids, Tensor) and mask.shape == ids.shape and mask.ndim == 2):
        return False
    if not _in_one_piece(mask != 0):
        return False
    others = [name for name in inputs if name not in ("attention_mask", *TOKENS) and inputs[name] is not None]
    if any(isinstance(inputs[name], Tensor) or name == "past_key_values" for name in others):
        return False
    return not any(inputs.get(name) or getattr(backbone.config, name, False) for name in INSIGHTS)


def _in_one_piece(there: Tensor) -> bool:
    """Whether no row (R, L) has a hole between its tokens, and some row has any: positions and windows count on it."""
    starts = there[:, :1].sum(dim=1) + (there[:, 1:] & ~there[:, :-1]).sum(dim=1)
    return bool(there.any() and starts.max() <= 1)


def _positions(backbone: nn.Module, inputs: dict[str, Any], rows: PackedRows) -> Tensor:
    """(1, T): the positions that the backbone would give the tokens of the padded batch."""
    if inputs.get("position_ids") is not None:
        return rows.pack(inputs["position_ids"].expand(rows.shape))
    padding = _padding_of_positions(backbone)
    if padding is None:
        return rows.columns
    # RoBERTa and its kin count what is no padding, and begin after the padding's own number.
    there = inputs["input_ids"] != padding
    return rows.pack(there.cumsum(dim=1) * there + padding)


def _padding_of_positions(backbone: nn.Module) -> int | None:
    for module in backbone.modules():
        table = getattr(module, "position_embeddings", None)
        if isinstance(table, nn.Embedding) and isinstance(getattr(module, "padding_idx", None), int):
            return int(module.padding_idx)  # type: ignore[arg-type]
    return None
