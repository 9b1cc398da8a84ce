"""What a model would answer if it ended at one of its earlier layers, without computing any layer twice."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Router
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from st_mta.backbones.layers import first_layers, layer_list
from st_mta.errors import InputError
from st_mta.losses.word_level.capture import capture, num_layers, unwrap

Answer = TypeVar("Answer")
PROBE = ("a short text", "a longer text to look at")


class LayerOutputs:
    """Calls a model once and has its answer after each of some layers: from the states there, everything behind them.

    The answer after layer n is that of the same model with its first n layers alone, as ``prune_layers`` leaves them:
    what the backbone does to the states of its last layer (nothing, or a norm) is done to those of layer n, and then
    come the model's further modules (pooling, projections, normalising) or its head. That this is so is tried out
    when it is made.

    Args:
        model: A SentenceTransformer, or a CrossEncoder, not yet wrapped for several processes.

    Attributes:
        last: Number of layers.

    Raises:
        InputError: If it has no list of layers, several backbones, or an answer that depends on more than the states
            of its last layer.
    """

    def __init__(self, model: Any) -> None:
        _check_backbone(model)
        self.last = num_layers(model)
        # A list, so that no loss that holds this has the norm for a part of its own.
        self._norm = [_norm_after_layers(model)]
        _check_head(model, self)

    def __call__(
        self, model: nn.Module, layers: Collection[int], run: Callable[[nn.Module], Answer]
    ) -> dict[int, Answer]:
        """Layer -> what ``run`` makes of the model if it ends there; the last layer's is always among them.

        Args:
            model: That this was made for, wrapped or not.
            layers: From 1 to ``last``.
            run: Calls the model it is given; for earlier layers again, with the same texts in the same order.

        Raises:
            InputError: If the model was not really called, as in all but the first dimension of ``MatryoshkaLoss``.
        """
        earlier = sorted({*layers} - {self.last})
        with capture(model, hidden_states=earlier) as calls:
            found = {self.last: run(model)}
        if not calls:
            raise InputError(
                expected="a forward pass of the student",
                got="embeddings of an earlier one",
                remedy="wrap the losses over embeddings alone in MatryoshkaLoss, which repeats the same forward pass "
                "for every dimension",
            )
        # Without what wraps it: data-parallel training takes layers for unused that its last call did not use.
        inner = unwrap(model)
        for layer in earlier:
            with answering(inner, [call.hidden_states[layer] for call in calls], self._norm[0]):
                found[layer] = run(inner)
        return found


@contextmanager
def answering(model: Any, states: Sequence[Tensor], norm: nn.Module) -> Iterator[None]:
    """Within it, the model's backbone answers call after call with these states instead of computing its layers."""
    base, left = model.transformers_model.base_model, iter(states)
    pooler = None if base is model.transformers_model else getattr(base, "pooler", None)

    def answer(*_: Any, **__: Any) -> BaseModelOutputWithPooling:
        state = norm(next(left))
        return BaseModelOutputWithPooling(
            last_hidden_state=state, pooler_output=None if pooler is None else pooler(state)
        )

    with _forward_of(base, answer):
        yield


@contextmanager
def _forward_of(backbone: Any, forward: Callable[..., Any]) -> Iterator[None]:
    replaced = vars(backbone).get("forward")
    backbone.forward = forward
    try:
        yield
    finally:
        del backbone.forward
        if replaced is not None:
            backbone.forward = replaced


def _check_backbone(model: Any) -> None:
    backbone = unwrap(model).transformers_model
    routed = any(isinstance(module, Router) for module in unwrap(model).children())
    if backbone is None or routed:
        raise InputError(
            expected="a model with one transformer that reads all texts",
            got="one with a Router" if routed else f"modules {[type(module).__name__ for module in model]}",
            remedy="give a model without a Router, made of layers",
        )
    layer_list(backbone)


@torch.no_grad()
def _norm_after_layers(model: Any) -> nn.Module:
    """What the backbone does to its last layer's states, found by ending it after the first layer."""
    backbone = model.transformers_model
    inside = {id(module) for module in layer_list(backbone)[1].modules()}
    norms: list[nn.Module] = [
        module for module in backbone.modules() if id(module) not in inside and type(module).__name__.endswith("Norm")
    ]
    with _as_used(model) as probe:
        with capture(model, hidden_states=[1]) as calls:
            model(dict(probe))
        with first_layers(backbone, 1), _last_states(backbone) as ended:
            model(dict(probe))
        for norm in [nn.Identity(), *norms]:
            if _is_same(norm, calls[0].hidden_states[1], ended[0]):
                return norm
    raise InputError(
        expected="a backbone whose first layers, and the norm behind its last one, are a smaller model",
        got=f"{type(backbone).__name__}, whose first layer alone gives other states",
        remedy="take a loss over the last layer, or another model",
    )


def _is_same(norm: nn.Module, state: Tensor, expected: Tensor) -> bool:
    try:
        found = norm(state)
    except (RuntimeError, TypeError):  # of another width, or with further arguments
        return False
    return isinstance(found, Tensor) and found.shape == expected.shape and torch.allclose(found, expected, 1e-3, 1e-4)


@torch.no_grad()
def _check_head(model: Any, outputs: LayerOutputs) -> None:
    """Whether modules and head behind the backbone read nothing but its last states."""

    def answer(each: Any) -> Tensor:
        features = each(dict(probe))
        found: Tensor = features["scores"] if "scores" in features else features["sentence_embedding"]
        return found

    with _as_used(model) as probe:
        with capture(model, hidden_states=[outputs.last]) as calls:
            given = answer(model)
        states = [calls[0].hidden_states[outputs.last]]
        try:
            with answering(model, states, nn.Identity()):
                same = torch.allclose(answer(model), given, 1e-3, 1e-4)
        except (AttributeError, KeyError, TypeError, IndexError):  # it reads what is not there
            same = False
    if not same:
        raise InputError(
            expected="a model whose answer comes from the token states of its last layer",
            got=f"{type(model.transformers_model).__name__}, whose answer comes from more than these",
            remedy="take another model, or a loss over its answers",
        )


@contextmanager
def _as_used(model: Any) -> Iterator[dict[str, Tensor]]:
    """Within it, the model is in evaluation; yields tokens to try it by."""
    modes = [(module, module.training) for module in model.modules()]
    texts = PROBE if isinstance(model, CrossEncoder) else PROBE[:1]
    model.eval()
    try:
        yield dict(model.tokenizer(*texts, return_tensors="pt").to(model.device))
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def _last_states(backbone: Any) -> Iterator[list[Tensor]]:
    """Yields what the backbone below any head answers."""
    base, seen = backbone.base_model, list[Tensor]()
    forward = base.forward

    def watched(*given: Any, **named: Any) -> Any:
        output = forward(*given, **named)
        seen.append(output[0])
        return output

    with _forward_of(base, watched):
        yield seen
