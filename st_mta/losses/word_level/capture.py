"""Records hidden states and what attention is made of while the host calls a model; no other module does so."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from st_mta.backbones import padded
from st_mta.backbones.attention import NAME
from st_mta.distributions import widen
from st_mta.errors import InputError

RECORDING = "st_mta_recording"


@dataclass(frozen=True)
class Attention:
    """What one layer's attention was made of, before dropout.

    Attributes:
        queries: (R, H, L, D / H).
        keys: (R, H', L, D / H), H' a divisor of H.
        values: (R, H', L, D / H).
        bias: (R, 1 or H, L, L), what the layer adds to the logits, or where it may look (bool).
        scaling: Factor of the logits.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    bias: Tensor
    scaling: float

    def logits(self) -> Tensor:
        """(R, H, L, L) in float32 or wider; where the layer may not look they have the lowest finite value."""
        queries, keys = widen(self.queries), widen(self.keys)
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
        with torch.autocast(queries.device.type, enabled=False):
            logits = self.scaling * queries @ keys.mT
        lowest = torch.finfo(logits.dtype).min
        if self.bias.dtype == torch.bool:
            return torch.where(self.bias, logits, lowest)
        return (logits + self.bias).clamp(min=lowest)


@dataclass
class Recorded:
    """What one call of the backbone left.

    Attributes:
        hidden_states: Layer -> (R, L, D) token states after it; layer 0 is the embeddings.
        attentions: Layer -> its attention; the first layer is 1.
    """

    hidden_states: dict[int, Tensor] = field(default_factory=dict)
    attentions: dict[int, Attention] = field(default_factory=dict)


@dataclass
class _Recorder(Recorded):
    wanted: frozenset[int] = frozenset()
    layers_seen: int = 0


_recorder: ContextVar[_Recorder | None] = ContextVar("st_mta_recorder", default=None)


def unwrap(model: nn.Module) -> Any:
    """The host's model inside what wraps it for several processes or for the compiler."""
    while not hasattr(model, "transformers_model"):
        inner = getattr(model, "_orig_mod", None) or getattr(model, "module", None)
        if inner is None:
            raise InputError(
                expected="a SentenceTransformer or CrossEncoder",
                got=type(model).__name__,
                remedy="give the model itself",
            )
        model = inner
    return model


def num_layers(model: nn.Module) -> int:
    """Number of layers of the model's first backbone."""
    return int(unwrap(model).transformers_model.config.num_hidden_layers)


@contextmanager
def capture(
    model: nn.Module, *, hidden_states: Collection[int] = (), attentions: Collection[int] = ()
) -> Iterator[list[Recorded]]:
    """Records what the model's backbone computes while the block runs; call the model itself inside, wrapped or not.

    Attentions come from the layer's own queries and keys: before dropout, with gradient also under (non-reentrant)
    gradient checkpointing, and without leaving the fused kernel, whose output carries no attention. For the block the
    backbone runs that kernel over padded rows, whatever it ran before; afterwards it is as it was.

    Args:
        model: A SentenceTransformer or CrossEncoder, possibly wrapped (DDP, ``torch.compile``).
        hidden_states: Layers to record the states after; 0 is the embeddings.
        attentions: Layers to record the attention of; the first is 1.

    Yields:
        One ``Recorded`` per call of the backbone, in order.

    Raises:
        InputError: If the backbone has no such layer, its attention cannot be recorded, or it would have no gradient.
    """
    backbone = unwrap(model).transformers_model
    wanted = frozenset(attentions)
    _check_layers(backbone, {*hidden_states, *attentions})
    calls: list[Recorded] = []
    forward = backbone.forward

    def recording_forward(*args: Any, **kwargs: Any) -> Any:
        if "cu_seq_lens_q" in kwargs:
            remedy = "set model[0].unpad_inputs = False"
            raise InputError(expected="padded batches", got="several texts in one row", remedy=remedy)
        recorder = _Recorder(wanted=wanted)
        token = _recorder.set(recorder)
        try:
            output = forward(*args, **({**kwargs, "output_hidden_states": True} if hidden_states else kwargs))
        finally:
            _recorder.reset(token)
        recorder.hidden_states = {layer: output.hidden_states[layer] for layer in hidden_states}
        _check_attentions(backbone, recorder)
        calls.append(recorder)
        return output

    replaced = vars(backbone).get("forward")
    backbone.forward = recording_forward
    try:
        with padded(), _recording_attention(backbone) if wanted else nullcontext():
            yield calls
    finally:
        del backbone.forward
        if replaced is not None:
            backbone.forward = replaced


@contextmanager
def _recording_attention(backbone: Any) -> Iterator[None]:
    """The backbone's attention goes through ``_attend``, and afterwards where it went before."""
    before = backbone.config._attn_implementation
    if before not in ("sdpa", NAME) and any(
        getattr(module, "gradient_checkpointing", False) for module in backbone.modules()
    ):
        # The backward pass computes the layers again, after the block, and must find the kernel of the forward pass.
        remedy = "load with attn_implementation='sdpa'"
        raise InputError(expected="the sdpa kernel under gradient checkpointing", got=before, remedy=remedy)
    fused = NAME if before == NAME else "sdpa"
    AttentionInterface.register(RECORDING, partial(_attend, ALL_ATTENTION_FUNCTIONS[fused]))
    AttentionMaskInterface.register(RECORDING, ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    backbone.set_attn_implementation(RECORDING)
    try:
        yield
    finally:
        backbone.set_attn_implementation(before)


def _attend(
    fused: Any,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """The kernel that ran before, noting what it was given; nothing more, so that it alone can replay checkpoints."""
    recorder = _recorder.get()
    if recorder is not None:
        recorder.layers_seen += 1
        if recorder.layers_seen in recorder.wanted:
            bias = _bias(module, query, attention_mask, **kwargs)
            scaling = kwargs.get("scaling") or query.shape[-1] ** -0.5
            recorder.attentions[recorder.layers_seen] = Attention(query, key, value, bias, scaling)
    output: tuple[Tensor, None] = fused(module, query, key, value, attention_mask, **kwargs)
    return output


def _bias(module: nn.Module, query: Tensor, mask: Tensor | None, **kwargs: Any) -> Tensor:
    if kwargs.get("position_bias") is not None:
        expected, remedy = "attention without a learned position bias", "use hidden states instead"
        raise InputError(expected=expected, got=type(module).__name__, remedy=remedy)
    rows, _, length, _ = query.shape
    if mask is None:
        causal = kwargs.get("is_causal")
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device)
        mask = mask.tril() if (getattr(module, "is_causal", False) if causal is None else causal) else mask
    return mask.reshape(*[1] * (4 - mask.ndim), *mask.shape).expand(rows, -1, length, length)


def _check_layers(backbone: Any, layers: set[int]) -> None:
    available = int(backbone.config.num_hidden_layers)
    if not layers <= {*range(available + 1)}:
        expected, remedy = f"layers from 0 to {available}", "name layers the model has"
        raise InputError(expected=expected, got=str(sorted(layers)), remedy=remedy)


def _check_attentions(backbone: Any, recorder: _Recorder) -> None:
    if recorder.attentions.keys() != recorder.wanted:
        raise InputError(
            expected="a backbone that uses the attention interface of transformers",
            got=f"{type(backbone).__name__}, which showed {recorder.layers_seen} attention layers",
            remedy="use hidden states instead, or another model",
        )
    trains = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in backbone.parameters())
    if trains and not all(attention.queries.requires_grad for attention in recorder.attentions.values()):
        raise InputError(
            expected="attentions with a gradient",
            got="attentions without one, as reentrant gradient checkpointing leaves them",
            remedy="set gradient_checkpointing_kwargs={'use_reentrant': False}",
        )
