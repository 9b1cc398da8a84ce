"""Packed rows for MPNet, whose layers compute attention themselves, with a learned bias by distance."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder, MPNetSelfAttention

from st_mta.backbones.attention import attend_by_group, current_rows
from st_mta.backbones.rows import PackedRows


class PackedBias:
    """The bias of the longest row (1, H, L, L), of which each shorter row has a corner, and the rows."""

    def __init__(self, bias: Tensor, rows: PackedRows) -> None:
        self.bias, self.rows = bias, rows

    def by_group(self) -> list[Tensor | None]:
        """(1, H, length, length) of every group."""
        return [self.bias[..., :length, :length] for length, _ in self.rows.groups]


class _Encoder(MPNetEncoder):  # type: ignore[misc]
    def compute_position_bias(self, x: Tensor, *others: Any, **named: Any) -> Any:
        if (rows := current_rows.get()) is None:
            return super().compute_position_bias(x, *others, **named)
        longest = rows.groups[-1][0]
        return PackedBias(super().compute_position_bias(x[:, :longest], *others, **named), rows)


class _SelfAttention(MPNetSelfAttention):  # type: ignore[misc]
    def forward(
        self, hidden_states: Tensor, attention_mask: Any = None, position_bias: Any = None, **named: Any
    ) -> Any:
        if not isinstance(position_bias, PackedBias):
            return super().forward(hidden_states, attention_mask, position_bias, **named)
        heads = (*hidden_states.shape[:-1], -1, self.attention_head_size)
        q, k, v = (layer(hidden_states).view(heads).transpose(1, 2) for layer in (self.q, self.k, self.v))
        dropout = self.dropout.p if self.training else 0.0
        found = attend_by_group(position_bias.rows, q, k, v, position_bias.by_group(), dropout, None)
        return (self.o(found.flatten(2)),)


PACKED: dict[type, Any] = {MPNetEncoder: _Encoder, MPNetSelfAttention: _SelfAttention}


def has_own_layers(backbone: nn.Module) -> bool:
    """Whether a backbone computes attention in layers that this file knows."""
    return any(type(module) in (MPNetSelfAttention, _SelfAttention) for module in backbone.modules())


@contextmanager
def packed_layers(backbone: nn.Module) -> Iterator[None]:
    """Within it, the layers understand packed rows too; the objects stay, only their classes change."""
    layers = [module for module in backbone.modules() if type(module) in PACKED]
    before = [type(layer) for layer in layers]
    for layer in layers:
        layer.__class__ = PACKED[type(layer)]
    try:
        yield
    finally:
        for layer, kind in zip(layers, before):
            layer.__class__ = kind
