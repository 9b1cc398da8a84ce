"""A backbone whose calls are packed on the way in and unpacked on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from threading import RLock
from types import MethodType
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from st_mta.backbones.attention import NAME, current_rows, register
from st_mta.backbones.calls import ROWS, packed_call
from st_mta.backbones.mpnet import packed_layers
from st_mta.backbones.rows import CannotPack, PackedRows

_allowed: ContextVar[bool] = ContextVar("st_mta_packing_allowed", default=True)
_lock = RLock()
_changes: dict[tuple[int, Any], tuple[int, ExitStack]] = {}


@contextmanager
def padded() -> Iterator[None]:
    """Within it, batches stay padded, as those who look into a backbone's layers expect."""
    token = _allowed.set(False)
    try:
        yield
    finally:
        _allowed.reset(token)


@contextmanager
def attention_set(model: PreTrainedModel) -> Iterator[None]:
    """Within it, the layers of a model use our attention, where they ask transformers for one."""
    with _once(model, _use_attention):
        yield


@contextmanager
def rows_packed(model: PreTrainedModel) -> Iterator[None]:
    """Within it, the backbone of a model packs every batch that it can."""
    backbone = model.base_model
    with _once(model, _use_attention), _once(backbone, packed_layers), _once(backbone, _pack_rows):
        yield


@contextmanager
def _once(model: Any, change: Callable[[Any], AbstractContextManager[None]]) -> Iterator[None]:
    """A change that lasts as long as anyone, in whichever thread, is within it."""
    key = (id(model), change)
    with _lock:
        users, stack = _changes.setdefault(key, (0, ExitStack()))
        if not users:
            stack.enter_context(change(model))
        _changes[key] = (users + 1, stack)
    try:
        yield
    finally:
        with _lock:
            users, stack = _changes.pop(key)
            if users > 1:
                _changes[key] = (users - 1, stack)
            else:
                stack.close()


@contextmanager
def _use_attention(model: PreTrainedModel) -> Iterator[None]:
    register()
    before = model.config._attn_implementation
    if before == "sdpa":
        model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        if before == "sdpa":
            model.set_attn_implementation(before)


@contextmanager
def _pack_rows(backbone: Any) -> Iterator[None]:
    replaced = vars(backbone).get("forward")
    poolers = [child for name, child in backbone.named_children() if name == "pooler"]
    handles = [pooler.register_forward_pre_hook(unpack_for_pooler) for pooler in poolers]
    backbone.forward = _PackedForward(backbone, backbone.forward)  # no hook: the host calls `forward` itself
    try:
        yield
    finally:
        del backbone.forward
        if replaced is not None:
            backbone.forward = replaced
        for handle in handles:
            handle.remove()


class _PackedForward:
    """A backbone's ``forward`` with packed rows, where a call's can be packed.

    Args:
        backbone: The backbone.
        forward: As it was.
    """

    def __init__(self, backbone: Any, forward: Callable[..., Any]) -> None:
        self.backbone, self.forward = backbone, forward

    def __call__(self, *given: Any, **named: Any) -> Any:
        inputs = packed_call(self.backbone, given, named) if _allowed.get() else None
        token = current_rows.set(None if inputs is None else inputs[ROWS])
        try:
            if inputs is None:
                return self.forward(*given, **named)
            # Another thread may leave its block before this call is done.
            with _once(self.backbone, _use_attention), _once(self.backbone, packed_layers):
                return _run(self.forward, inputs)
        finally:
            current_rows.reset(token)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """A copy of the backbone computes with its own weights, as the class says."""
        copied = memo[id(self.backbone)]
        return MethodType(type(copied).forward, copied)


def _run(forward: Callable[..., Any], inputs: dict[str, Any]) -> Any:
    """The backbone's output, its token vectors where the padded batch has them."""
    rows: PackedRows = inputs[ROWS]
    output = forward(**inputs)
    if isinstance(output, tuple):
        return (rows.unpack(output[0]), *output[1:])
    output.last_hidden_state = rows.unpack(output.last_hidden_state)
    return output


def unpack_for_pooler(pooler: nn.Module, given: tuple[Any, ...]) -> Any:
    """A pooler reads the first token of each row, or more, of padded token vectors."""
    if (rows := current_rows.get()) is None:
        return None
    if given[0].shape[:2] == rows.shape:
        return None  # of a copy made while its original was packed
    if given[0].shape[:2] != (1, len(rows.places)):
        raise CannotPack("its pooler is given one token only")
    return rows.unpack(given[0]), *given[1:]
