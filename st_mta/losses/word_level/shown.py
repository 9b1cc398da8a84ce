"""Attention as a backbone itself shows it, for those whose layers do not ask transformers for an attention function.

DeBERTa, MPNet, RoFormer, XLNet and others compute it within their layers. They return it after dropout, so it is taken
from what went into the dropout whose output it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.losses.word_level.recorded import Probabilities

TOLERANCE = 1e-2
"""By which the sum of a token's attention may differ from 1: what rounding in bf16 does to it, and more."""
REMEDY = "use HiddenStateMSELoss, or another model"

_trusted: WeakSet[nn.Module] = WeakSet()
"""Backbones whose attention was found to sum to 1: a look at values holds an accelerator up."""

Dropped = list[tuple[Tensor, Tensor]]


def shows_queries(backbone: Any) -> bool:
    """Whether the layers of a backbone get their attention function from transformers, which can then be recorded."""
    return bool(getattr(backbone, "_supports_sdpa", False))


@contextmanager
def watching_dropout(backbone: nn.Module) -> Iterator[Dropped]:
    """Yields what goes into and comes out of every dropout over attention (R, H, L, L) within the block."""
    seen: Dropped = []

    def note(module: nn.Module, given: tuple[Any, ...], output: Tensor) -> None:
        if given[0].ndim == 4:
            seen.append((given[0], output))

    dropouts = [module for module in backbone.modules() if "Dropout" in type(module).__name__]
    handles = [dropout.register_forward_hook(note) for dropout in dropouts]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def shown_attentions(
    backbone: Any, shown: Sequence[Tensor] | None, seen: Dropped, mask: Tensor, layers: Collection[int]
) -> dict[int, Probabilities]:
    """Layer (the first is 1) -> its attention before dropout.

    Args:
        backbone: That computed it.
        shown: What it returned as attentions, one (R, H, L, L) per layer.
        seen: As of [`watching_dropout`].
        mask: (R, L), nonzero where there is a token.
        layers: Those wanted.

    Raises:
        InputError: If it shows none, or something else than how much each token looks at every other.
    """
    _check_shown(backbone, shown, mask)
    assert shown is not None
    before = {id(output): given for given, output in seen}
    found = {}
    for layer in layers:
        exact = before.get(id(shown[layer - 1]))
        found[layer] = shown[layer - 1] if exact is None else exact
        if (exact is None and backbone.training) or backbone not in _trusted:
            _check_sums(backbone, found[layer], mask)
    _trusted.add(backbone)
    return {layer: Probabilities(attention) for layer, attention in found.items()}


def _check_shown(backbone: Any, shown: Sequence[Tensor] | None, mask: Tensor) -> None:
    name = type(backbone).__name__
    if not shown or any(attention is None for attention in shown):
        kernel = backbone.config._attn_implementation
        remedy = REMEDY if kernel == "eager" else f"load it with attn_implementation='eager', or {REMEDY}"
        expected = "a backbone that shows its attention (output_attentions)"
        raise InputError(expected=expected, got=f"{name}, which shows none", remedy=remedy)
    rows, length = mask.shape
    layers = backbone.config.num_hidden_layers
    shapes = {(*attention.shape[:1], *attention.shape[2:]) for attention in shown}
    if len(shown) != layers or shapes != {(rows, length, length)}:
        raise InputError(
            expected=f"the attention of each token to every token of its row in each of {layers} layers, "
            f"({rows}, heads, {length}, {length})",
            got=f"{', '.join(sorted({str(tuple(attention.shape)) for attention in shown}))} in {len(shown)} layers of "
            f"{name}",
            consequence="with a window or pooled tokens a number in it would belong to other tokens than meant",
            remedy=REMEDY,
        )


def _check_sums(backbone: Any, attention: Tensor, mask: Tensor) -> None:
    sums = attention.detach().float().sum(dim=-1).transpose(1, 2)[mask.bool()]  # (tokens, H)
    if bool((attention.detach() < -TOLERANCE).any()) or bool((sums - 1).abs().max() > TOLERANCE):
        trains = backbone.training
        raise InputError(
            expected="attention that sums to 1 for each token, before dropout",
            got=f"sums between {float(sums.min()):.3f} and {float(sums.max()):.3f} from {type(backbone).__name__}"
            + (" in training" if trains else ""),
            remedy=f"set its attention dropout to 0, or {REMEDY}" if trains else REMEDY,
        )
