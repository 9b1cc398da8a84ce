"""Records hidden states and what attention is made of while the host calls a model; no other module does so."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from st_mta.backbones import padded
from st_mta.backbones.attention import NAME, UNKNOWN
from st_mta.errors import InputError
from st_mta.losses.word_level.recorded import AnyAttention, Attention, Probabilities, Recorded
from st_mta.losses.word_level.shown import Dropped, shown_attentions, shows_queries, watching_dropout

RECORDING = "st_mta_recording"


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
    backbone runs that kernel over padded rows, whatever it ran before; afterwards it is as it was. A backbone whose
    layers know no other attention than their own (DeBERTa, MPNet) is asked for its probabilities instead.

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
    _check_layers(backbone, hidden_states, first=0)
    _check_layers(backbone, wanted, first=1)
    by_queries = shows_queries(backbone)
    asked = {"output_hidden_states": True} if hidden_states else {}
    asked |= {"output_attentions": True} if wanted and not by_queries else {}
    calls: list[Recorded] = []
    forward = backbone.forward

    def recording_forward(*args: Any, **kwargs: Any) -> Any:
        if "cu_seq_lens_q" in kwargs:
            remedy = "set model[0].unpad_inputs = False"
            raise InputError(expected="padded batches", got="several texts in one row", remedy=remedy)
        recorder = _Recorder(wanted=wanted)
        watching: AbstractContextManager[Dropped] = nullcontext([])
        if wanted and not by_queries:
            watching = watching_dropout(backbone)
        token = _recorder.set(recorder)
        try:
            with watching as dropped:
                output = forward(*args, **{**kwargs, **asked})
        finally:
            _recorder.reset(token)
        mask = _token_mask(kwargs)
        if hidden_states:
            states = _checked_states(backbone, output, mask)
            recorder.hidden_states = {layer: states[layer] for layer in hidden_states}
        if wanted and not by_queries:
            shown = getattr(output, "attentions", None)
            recorder.attentions = dict(shown_attentions(backbone, shown, dropped, mask, wanted))
        _check_attentions(backbone, recorder)
        calls.append(recorder)
        return output

    replaced = vars(backbone).get("forward")
    backbone.forward = recording_forward
    try:
        with padded(), _recording_attention(backbone) if wanted and by_queries else nullcontext():
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
    """(R, 1 or H, L, L): the mask, and with it what T5 and its kin have learned to add by distance."""
    if unknown := [name for name in UNKNOWN if name != "position_bias" and kwargs.get(name) is not None]:
        got = f"{type(module).__name__} with {unknown[0]}"
        raise InputError(expected="attention of queries and keys alone", got=got, remedy="use hidden states instead")
    rows, _, length, _ = query.shape
    if mask is None:
        causal = kwargs.get("is_causal")
        mask = torch.ones(length, length, dtype=torch.bool, device=query.device)
        mask = mask.tril() if (getattr(module, "is_causal", False) if causal is None else causal) else mask
    mask = mask.reshape(*[1] * (4 - mask.ndim), *mask.shape).expand(rows, -1, length, length)
    learned: Tensor | None = kwargs.get("position_bias")
    if learned is None:
        return mask
    if mask.dtype != torch.bool:
        return mask + learned
    return torch.where(mask, learned, torch.finfo(learned.dtype).min)


def _token_mask(given: dict[str, Any]) -> Tensor:
    """(R, L), nonzero where there is a token."""
    mask: Tensor | None = given.get("attention_mask")
    return torch.ones_like(given["input_ids"]) if mask is None else mask


def _checked_states(backbone: Any, output: Any, mask: Tensor) -> Sequence[Tensor]:
    """The token states of a call: the embeddings', and after each layer."""
    states: Sequence[Tensor] = getattr(output, "hidden_states", None) or ()
    layers, shapes = backbone.config.num_hidden_layers, {tuple(each.shape[:2]) for each in states}
    if len(states) == layers + 1 and shapes == {tuple(mask.shape)}:
        return states
    raise InputError(
        expected=f"token states (R, L, D) of the embeddings and of {layers} layers, (R, L) = {tuple(mask.shape)}",
        got=f"{len(states)} of shapes {sorted(shapes)} from {type(backbone).__name__}",
        consequence="a state would belong to other tokens than meant",
        remedy="use a model whose layers all read the same tokens; of an encoder with a decoder, the encoder alone",
    )


def _check_layers(backbone: Any, layers: Collection[int], first: int) -> None:
    available = int(backbone.config.num_hidden_layers)
    if not {*layers} <= {*range(first, available + 1)}:
        expected, remedy = f"layers from {first} to {available}", "name layers the model has"
        raise InputError(expected=expected, got=str(sorted(layers)), remedy=remedy)


def _check_attentions(backbone: Any, recorder: _Recorder) -> None:
    if recorder.attentions.keys() != recorder.wanted:
        raise InputError(
            expected="a backbone that uses the attention interface of transformers",
            got=f"{type(backbone).__name__}, which showed {recorder.layers_seen} attention layers",
            remedy="use hidden states instead, or another model",
        )
    trains = torch.is_grad_enabled() and any(parameter.requires_grad for parameter in backbone.parameters())
    if trains and not all(_source(attention).requires_grad for attention in recorder.attentions.values()):
        raise InputError(
            expected="attentions with a gradient",
            got="attentions without one, as reentrant gradient checkpointing leaves them",
            remedy="set gradient_checkpointing_kwargs={'use_reentrant': False}",
        )


def _source(attention: AnyAttention) -> Tensor:
    """What the logits come from."""
    return attention.probabilities if isinstance(attention, Probabilities) else attention.queries
