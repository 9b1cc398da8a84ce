"""Attention for packed rows, and for padded ones in bf16 on a CPU.

The backward pass of torch's fused kernel is slow in bf16 on a CPU: 173 ms for 250 texts of 14 tokens, against 30 ms on
the same inputs in fp32 and 25 ms as two products and a softmax (one thread of an AMD EPYC with AVX512-BF16).
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from st_mta.backbones.rows import CannotPack, PackedRows

NAME = "st_mta_packed"
"""Under which transformers knows this attention while a backbone is packed."""
LONGEST_PLAIN, FEWEST_TOKENS = 128, 256
"""Up to this length and from so many tokens on, two products and a softmax are the quickest in bf16 on a CPU."""
UNKNOWN = ("softcap", "position_bias", "s_aux", "cache", "head_mask", "relative_position_bias")
"""What an attention layer may ask for that is not computed here."""
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


class PackedMask:
    """Where the tokens of packed rows may look, worked out for one row of each length.

    Args:
        function: transformers' own (batch, head, query and key positions) -> bool of this kind of layer.
        rows: The batch.
    """

    def __init__(self, function: MaskFunction, rows: PackedRows) -> None:
        self._function, self._rows = function, rows
        self._masks: list[Tensor | None] | None = None

    def by_group(self, device: torch.device) -> list[Tensor | None]:
        """(length, length) bool of every group; None where everything may be looked at."""
        if self._masks is None:
            ends = torch.tensor(self._rows.sizes).cumsum(0).tolist()
            starts = [end - size for end, size in zip(ends, self._rows.sizes)]
            lengths = [length for length, _ in self._rows.groups]
            self._masks = [self._of_row(start, length, device) for start, length in zip(starts, lengths)]
        return self._masks

    def _of_row(self, start: int, length: int, device: torch.device) -> Tensor | None:
        at = torch.arange(start, start + length, device=device)
        zero = torch.zeros((), dtype=torch.int64, device=device)
        found = self._function(zero, zero, at[:, None], at[None, :])
        allowed = torch.as_tensor(found, device=device).expand(length, length)
        return None if bool(allowed.all()) else allowed


current_rows: ContextVar[PackedRows | None] = ContextVar("st_mta_current_rows", default=None)
"""The rows being computed: transformers hands nothing of a caller's on to the functions that make masks."""


def register() -> None:
    """Makes this attention known to transformers."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, _mask)


def _mask(*given: Any, **named: Any) -> Any:
    if (rows := current_rows.get()) is None:
        return ALL_MASK_ATTENTION_FUNCTIONS["sdpa"](*given, **named)
    if "mask_function" not in named:
        raise CannotPack("its masks are made without a function")
    return PackedMask(named["mask_function"], rows)


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    dropout: float = 0.0,
    scaling: float | None = None,
    packed_rows: PackedRows | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """An attention function as transformers' interface has them; (R, H, L, d) each -> (R, L, H, d)."""
    if packed_rows is None:
        return _attend_padded(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others)
    masks = _masks(module, attention_mask, packed_rows, query.device, others)
    if (repeats := query.shape[1] // key.shape[1]) > 1:
        key, value = key.repeat_interleave(repeats, dim=1), value.repeat_interleave(repeats, dim=1)
    return attend_by_group(packed_rows, query, key, value, masks, dropout, scaling), None


def _masks(
    module: nn.Module, mask: Any, rows: PackedRows, device: torch.device, others: dict[str, Any]
) -> list[Tensor | None]:
    """The mask of every group."""
    if unknown := [name for name in UNKNOWN if others.get(name) is not None]:
        raise CannotPack(f"its attention has a {unknown[0]}")
    if isinstance(mask, PackedMask):
        return mask.by_group(device)
    if mask is not None:
        raise CannotPack("its masks are its own")
    if others.get("is_causal", getattr(module, "is_causal", False)):
        raise CannotPack("its attention is causal without a mask")
    return [None] * len(rows.groups)


def attend_by_group(
    rows: PackedRows,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    masks: list[Tensor | None],
    dropout: float,
    scaling: float | None,
) -> Tensor:
    """[`attention`] within every row: (1, H, T, d) each -> (1, T, H, d)."""
    groups = zip(rows.split(query), rows.split(key), rows.split(value), masks)
    return rows.join([attention(q, k, v, mask, dropout, scaling) for q, k, v, mask in groups])


def attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float | None
) -> Tensor:
    """softmax(scaling * q k^T + mask) v, all sides (R, H, L, d), by the quickest way there is.

    Args:
        query: (R, H, L, d).
        key: (R, H, L, d).
        value: (R, H, L, d).
        mask: Broadcast to (R, H, L, L): where to look (bool), or what is added to the logits; None for everywhere.
        dropout: Probability of an attention weight to be dropped.
        scaling: Of the logits; None for d ** -.5.
    """
    if not _slow_in(query):
        return F.scaled_dot_product_attention(query, key, value, mask, dropout, scale=scaling)
    if query.shape[-2] <= LONGEST_PLAIN and query.shape[0] * query.shape[-2] >= FEWEST_TOKENS:
        return _plain(query, key, value, mask, dropout, scaling)
    with torch.autocast(query.device.type, enabled=False):
        wide = query.float(), key.float(), value.float()
        return F.scaled_dot_product_attention(*wide, _wide(mask), dropout, scale=scaling).to(query.dtype)


def _plain(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float, scaling: float | None
) -> Tensor:
    logits = (query * (query.shape[-1] ** -0.5 if scaling is None else scaling)) @ key.mT
    if mask is not None:
        logits = logits.masked_fill(~mask, -torch.inf) if mask.dtype == torch.bool else logits + mask
    weights = logits.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    return (F.dropout(weights, dropout) if dropout else weights) @ value


def _attend_padded(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **others: Any
) -> tuple[Tensor, None]:
    """The host's sdpa, in fp32 where it is slow in bf16."""
    sdpa: Any = ALL_ATTENTION_FUNCTIONS["sdpa"]
    if not _slow_in(query):
        return sdpa(module, query, key, value, mask, **others)  # type: ignore[no-any-return]
    more = {name: _wide(value) if isinstance(value, Tensor) else value for name, value in others.items()}
    with torch.autocast(query.device.type, enabled=False):
        found, _ = sdpa(module, query.float(), key.float(), value.float(), _wide(mask), **more)
    return found.to(query.dtype), None


def _slow_in(query: Tensor) -> bool:
    """Whether torch's fused kernel is slow for such inputs."""
    return query.dtype == torch.bfloat16 and query.device.type == "cpu"


def _wide(mask: Tensor | None) -> Tensor | None:
    return mask if mask is None or not mask.is_floating_point() else mask.float()
