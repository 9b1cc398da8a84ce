"""A module's word vectors and tokenizer, exchanged for smaller ones."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import nn

from st_mta.errors import InputError
from st_mta.types import IntArray


class Change:
    """A smaller vocabulary of one module, which can be taken back.

    Args:
        module: The module with tokenizer and word vectors.
        tokenizer: The new one.
        ids: (K,) old ids of the tokens that stay, ascending.
    """

    def __init__(self, module: Any, tokenizer: Any, ids: IntArray) -> None:
        self.module, self.ids = module, ids
        self.new: tuple[Any, ...] = (tokenizer, *self._smaller())
        self.old: tuple[Any, ...] = self._now()

    def make(self) -> None:
        """Puts the new parts in their places."""
        self._set(*self.new)

    def undo(self) -> None:
        """Puts the old ones back."""
        self._set(*self.old)

    def _smaller(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _now(self) -> tuple[Any, ...]:
        raise NotImplementedError

    def _set(self, *parts: Any) -> None:
        raise NotImplementedError

    def _rows(self, weight: torch.Tensor) -> nn.Parameter:
        """(K, D) of the (V, D) word vectors, frozen where they are."""
        if len(self.ids) and self.ids[-1] >= len(weight):
            raise InputError(
                expected="a word vector for every token of the tokenizer",
                got=f"{len(weight)} vectors, and a token with the id {self.ids[-1]}",
                remedy="resize the student's word vectors to its tokenizer first",
            )
        kept = weight.detach()[torch.from_numpy(self.ids).to(weight.device)]
        return nn.Parameter(kept, requires_grad=weight.requires_grad)


class StaticChange(Change):
    """Of a StaticEmbedding."""

    def _smaller(self) -> tuple[Any, ...]:
        words = self.module.embedding
        smaller = nn.EmbeddingBag(
            len(self.ids), words.embedding_dim, _weight=self._rows(words.weight), mode=words.mode
        )
        smaller.weight.requires_grad_(words.weight.requires_grad)
        return (smaller.train(words.training),)

    def _now(self) -> tuple[Any, ...]:
        return self.module.tokenizer, self.module.embedding

    def _set(self, *parts: Any) -> None:
        self.module.tokenizer, self.module.embedding = parts
        self.module.num_embeddings = self.module.embedding.num_embeddings


class BackboneChange(Change):
    """Of a transformer."""

    def _smaller(self) -> tuple[Any, ...]:
        words = self.module.model.get_input_embeddings()
        smaller = copy.copy(words)  # scaled word vectors are a class of their own
        smaller._parameters = {"weight": self._rows(words.weight)}
        smaller.num_embeddings = len(self.ids)
        if words.padding_idx is not None:
            smaller.padding_idx = int(np.searchsorted(self.ids, words.padding_idx))
        return smaller, [(owner, name, self._moved(name, old)) for owner, name, old in named_ids(self.module.model)]

    def _now(self) -> tuple[Any, ...]:
        named = [(owner, name, getattr(owner, name)) for owner, name, _ in self.new[2]]
        return self.module.tokenizer, self.module.model.get_input_embeddings(), named

    def _set(self, *parts: Any) -> None:
        tokenizer, words, named = parts
        if self.module.processor is self.module.tokenizer:
            self.module.processor = tokenizer
        else:
            self.module.processor.tokenizer = tokenizer
        self.module.model.set_input_embeddings(words)
        for owner, name, value in named:
            setattr(owner, name, value)

    def _moved(self, name: str, old: Any) -> Any:
        """The new value of a setting; ids that no token has stay."""
        if name == "vocab_size":
            return len(self.ids)
        known = np.isin(old, self.ids)
        return np.where(known, np.searchsorted(self.ids, old), old).tolist()


def named_ids(backbone: Any) -> list[tuple[Any, str, Any]]:
    """Where a backbone and its configuration name tokens by their ids, or say how many there are: who, how, what."""
    config = [
        (backbone.config, name, value)
        for name, value in vars(backbone.config).items()
        if name.endswith("_token_id") or name == "vocab_size"
    ]
    inside = [
        (module, name, vars(module)[name])
        for module in backbone.modules()
        if not isinstance(module, nn.Embedding)
        for name in ("vocab_size", "padding_idx")
        if name in vars(module)
    ]
    return [found for found in (*config, *inside) if isinstance(found[2], (int, list))]
