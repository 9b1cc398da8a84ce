"""A host model as a frozen scorer uses it: the user's object stays as it is, whatever precision or length."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder

from st_mta.backbones import can_pack, packed
from st_mta.precision import precision_name, resolve_precision
from st_mta.scorers.ahead import AT_ONCE, one_at_a_time
from st_mta.scorers.lengths import limit_length, longest_input
from st_mta.stores import fingerprint_model

Model = TypeVar("Model", SentenceTransformer, CrossEncoder, MultiVectorEncoder, SparseEncoder)
Version = tuple[tuple[int, int], ...]
ALIGNED = 64
"""Bytes; where torch begins what it allocates."""
WORDS = {8: torch.int64, 4: torch.int32, 2: torch.int16, 1: torch.int8}


class FrozenModel(Generic[Model]):
    """A working copy of a host model and its fingerprint, both renewed when the original's weights change.

    The copy shares the weights unless precision or device differ, so it costs next to nothing; modes, lengths and
    devices changed here never reach the user's object. Weights that change in place after wrapping (a student trained
    further) are noticed by torch's version counters, and by their sum where the counters are passed by (``.data``):
    embeddings of old weights are then not mistaken for new ones.

    Args: As of ``HostModelScorer``, and:
        max_length: Longest input in tokens, as [`st_mta.scorers.lengths.usable_length`] gives it.
        owned: Whether the model is used nowhere else, so that it is converted in place instead of held twice.
        ready: Changes a working copy, once it is made, into what computes.
        extra: What else the scores depend on, for the fingerprint.

    Attributes:
        device: Where the model runs.
        precision: The number format the copy computes in, as a word.
    """

    def __init__(
        self,
        model: Model,
        precision: str = "auto",
        max_length: int | None = None,
        device: str | torch.device | None = None,
        owned: bool = False,
        ready: Callable[[Model], None] | None = None,
        **extra: Any,
    ) -> None:
        # A tensor knows its card ("cuda:0") where the user only said "cuda".
        self.device = torch.empty(0, device=device).device if device is not None else model.device
        self._dtype = resolve_precision(precision, self.device)
        self.precision = precision_name(self._dtype)
        self._original = aligned(model.to(device=self.device, dtype=self._dtype)) if owned else model
        self._max_length = max_length
        self._ready = ready
        self._extra = extra
        self._version: Version | None = None
        self._sums: tuple[int, ...] = ()
        self._copy: Model | None = None
        self._fingerprint: str | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, length and precision as used."""
        if (sums := _sums(self._original)) != self._sums:
            self._version, self._sums = None, sums
        model = self.model
        if self._fingerprint is None:
            self._fingerprint = fingerprint_model(model, precision=self.precision, **self._extra)
        return self._fingerprint

    @property
    def original(self) -> Model:
        """The model as it was given; in the format of the copy where nobody else uses it."""
        return self._original

    @property
    def model(self) -> Model:
        """The working copy."""
        version = _version(self._original)
        if self._copy is None or version != self._version:
            self._copy, self._version, self._fingerprint = self._make_copy(), version, None
        return self._copy

    @contextmanager
    def computing(self) -> Iterator[Model]:
        """The working copy, within the block without padding where it can do without."""
        with packed(model := self.model):
            yield model

    @property
    def packs(self) -> bool:
        """Whether the working copy computes without padding."""
        return can_pack(self.model)

    @property
    def max_length(self) -> int | None:
        """Longest input in tokens, None where the model has no limit."""
        return longest_input(self.model)

    def _make_copy(self) -> Model:
        weights = [weight for weight in self._original.parameters() if weight.is_floating_point()]
        if any(weight.dtype != self._dtype or weight.device != self.device for weight in weights):
            model = copy.deepcopy(self._original).to(device=self.device, dtype=self._dtype)
        else:
            model = aligned(sharing_weights(self._original))
        limit_length(model, self._max_length)
        if self._ready is not None:
            self._ready(model)
        if self.device.type in AT_ONCE:
            one_at_a_time(model)
        return model

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: it makes a working copy of its own."""
        return {**self.__dict__, "_copy": None, "_version": None, "_sums": ()}


def sharing_weights(model: Model) -> Model:
    """A copy of the modules around the same weights."""
    return copy.deepcopy(model, {id(weight): weight for weight in model.parameters()})


def aligned(model: Model) -> Model:
    """The model, in which weights that do not begin at a multiple of 64 bytes are replaced by copies that do.

    Products in fp32 round otherwise where weights lie otherwise in memory, as those of a file do by the length of its
    header; the same model would give other last digits once it is saved again, or sent to another process.
    """
    copies: dict[int, torch.nn.Parameter] = {}
    for module in model.modules():
        for name, weight in module._parameters.items():
            if weight is not None and weight.device.type == "cpu" and weight.data_ptr() % ALIGNED:
                # Tied weights stay one.
                again = torch.nn.Parameter(weight.detach().clone(), weight.requires_grad)
                module._parameters[name] = copies.setdefault(id(weight), again)
    return model


def _version(model: torch.nn.Module) -> Version:
    """Changes when a weight is replaced or written to in place."""
    return tuple((tensor.data_ptr(), _writes(tensor)) for tensor in model.state_dict(keep_vars=True).values())


def _sums(model: torch.nn.Module) -> tuple[int, ...]:
    """Of every weight and buffer, read as whole numbers; changes with any value, whoever wrote it."""
    return tuple(_sum(tensor.detach()) for tensor in (*model.parameters(), *model.buffers()))


def _sum(tensor: torch.Tensor) -> int:
    if tensor.storage_offset():  # a view into a larger tensor may begin in the middle of a word
        tensor = tensor.clone()
    rows = tensor.contiguous().reshape(-1, tensor.shape[-1] if tensor.ndim else 1)
    if not rows.numel():
        return 0
    # The widest whole numbers that a row can be read as: the fewest to add.
    width = next(width for width in (8, 4, 2, 1) if rows.shape[1] * rows.element_size() % width == 0)
    sums = rows.view(WORDS[width]).sum(dim=1)
    # Rows that change places change the sum too.
    return int((sums * torch.arange(1, len(sums) + 1, device=sums.device)).sum())


def _writes(tensor: torch.Tensor) -> int:
    # Tensors made under inference_mode keep no count (and cannot be trained).
    return 0 if tensor.is_inference() else int(tensor._version)
