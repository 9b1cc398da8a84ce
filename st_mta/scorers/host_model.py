"""What scorers around a model of the host share: how it is loaded, frozen, named and described."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

import torch

from st_mta.scorers.ahead import Batches
from st_mta.scorers.batches import token_batches
from st_mta.scorers.frozen import FrozenModel, Model
from st_mta.scorers.lengths import usable_length
from st_mta.scorers.origin import num_layers
from st_mta.scorers.readying import ROLES, check_prompts, set_padding, set_prompts
from st_mta.stores import Store
from st_mta.types import IntArray, Scorer

Result = TypeVar("Result")
TOKENS_PER_CORE, PACKED_PER_CORE = 2**10, 2**12
"""A core is fastest while padded texts fit its caches; without padding, more texts of one length are quicker."""
TOKENS_PER_GPU = 2**16
PARTS_ON_GPU = 8
"""How much larger the parts between two writes to the store are there."""


class HostModelScorer(Scorer, Generic[Model]):
    """A scorer around a host model; stands before the class that says how it scores among the bases.

    Args:
        model: The model, or a Hub id or folder of one. It is not modified.
        name: Name for reports, by default the model's.
        store: Where scores or embeddings are kept.
        precision: "auto", "fp32" or "bf16".
        max_length: Longest text in tokens, None for the model's own.
        tokens_per_batch: Tokens computed at once; None for as many as the device is quickest with.
        device: Where to run, None for where the model is.
        prompts: Text put before queries and documents ("query" and "document"), instead of the model's own.
        others: Options of the other base class.
    """

    host_class: type  # of models given by their path
    extra: dict[str, Any] = {}  # what else the scores depend on, for the fingerprint
    roles: tuple[str, ...] = ROLES  # that a prompt can be given for

    def __init__(
        self,
        model: Any,
        name: str | None = None,
        store: Store | None = None,
        precision: str = "auto",
        max_length: int | None = None,
        tokens_per_batch: int | None = None,
        device: str | torch.device | None = None,
        prompts: Mapping[str, str] | None = None,
        **others: Any,
    ) -> None:
        self._prompts = check_prompts(prompts, self.roles)
        owned = isinstance(model, str)
        if owned:
            name, model = name or model, self._load(model, None if device is None else str(device))
        super().__init__(name or _model_name(model, self.kind), store, **others)  # type: ignore[call-arg]
        model = self._checked(model)
        length = self._length(model, usable_length(model, max_length, self.name))
        self._frozen: FrozenModel[Model] = FrozenModel(
            model, precision, length, device, owned, partial(self._ready, prompts=self._prompts), **self.extra
        )
        self.device = self._frozen.device
        self.parameters = sum(weight.numel() for weight in model.parameters())
        self.layers = num_layers(model)
        self.tokens_per_batch = tokens_per_batch
        self._work = Batches(self.device.type)
        if self.device.type != "cpu":
            self._take_larger_parts(others)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length and precision."""
        return self._frozen.fingerprint

    def _take_larger_parts(self, given: Mapping[str, Any]) -> None:
        """Writes less often where the user named no size: a GPU computes a part for a CPU in half a second."""
        for size in ("part_size", "block_size"):
            if given.get(size) is None and hasattr(self, size):
                setattr(self, size, PARTS_ON_GPU * getattr(self, size))

    def moved_to(self, device: torch.device) -> None:
        """Takes note of the device on which its weights are now."""
        self.device = self._frozen.device = device
        self._work = Batches(device.type)

    def _computed(self, tokens: IntArray, compute: Callable[[IntArray], Result]) -> Iterator[tuple[IntArray, Result]]:
        """Indices of inputs with (n,) tokens, batch by batch, and what is computed for them."""
        packs = self._frozen.packs
        budget = self.tokens_per_batch or _tokens_per_batch(self.device, packs)
        return self._work.each(token_batches(tokens, budget, packs), compute)

    def _load(self, path: str, device: str | None) -> Any:
        return self.host_class(path, device=device)

    def _checked(self, model: Any) -> Model:
        """The model to freeze; raises ``InputError`` for one that cannot be used."""
        return model

    @staticmethod
    def _ready(model: Any, prompts: Mapping[str, str]) -> None:
        """Makes a working copy what is to compute; holds no scorer, so that it ends with its last reference."""
        set_prompts(model, prompts)
        set_padding(model)

    def _length(self, model: Model, max_length: int | None) -> int | None:
        """Tokens of an input of the model, for texts of ``max_length`` tokens."""
        return max_length


def _tokens_per_batch(device: torch.device, packs: bool) -> int:
    if device.type == "cuda":
        return TOKENS_PER_GPU
    return (PACKED_PER_CORE if packs else TOKENS_PER_CORE) * torch.get_num_threads()


def _model_name(model: torch.nn.Module, kind: str) -> str:
    """The Hub id or folder a model was loaded from, or its kind."""
    # Not the card's base_model: it stays what it was when a model is trained further.
    return str(getattr(getattr(model, "config", None), "_name_or_path", "") or kind)
