"""Texts that are tokenised once for a whole training, and batches of them padded as the host pads them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from st_mta.progress import progress
from st_mta.types import IntArray, numbers_within

Features = dict[str, Any]
Preprocess = Callable[[list[str]], Features]
"""Texts -> a batch of them, as the student's ``preprocess`` and the host's collator make it."""
Take = Callable[[IntArray], list[str]]
"""Positions -> the texts there."""

KEPT = {"input_ids": np.int32, "token_type_ids": np.uint8}
"""What differs from token to token and is kept, each in the type it is kept in."""
MASK = "attention_mask"
PROBE = ["a", "a longer text, so that the first is padded"]
TEXTS_PER_BLOCK, TEXTS_PER_CALL = 8192, 256
CHECKED = 4
"""Texts that are compared with the host's batch of them: the shortest, the longest and some between."""


class TokenisedTexts:
    """The tokens of some texts, one after another, and how the host makes a batch of them.

    A text of T tokens takes 4 T bytes (5 T where token types differ), and 16 for its position and its place.

    Args:
        positions: (n,) ascending, of the texts.
        lengths: (n,) tokens of each.
        tokens: Name in [`KEPT`] -> all its values, text after text.
        padding: How a batch is made of them.
    """

    def __init__(
        self, positions: IntArray, lengths: IntArray, tokens: dict[str, npt.NDArray[Any]], padding: Padding
    ) -> None:
        self.positions, self.tokens, self.padding = positions, tokens, padding
        self.ends = np.cumsum(lengths)

    @classmethod
    def of(cls, preprocess: Preprocess, positions: IntArray, take: Take) -> TokenisedTexts | None:
        """Tokenises the texts at these positions; None where a batch is more than padded tokens.

        Static embeddings, images, rows without padding and expanded queries are; they are left to the host.

        Args:
            preprocess: Makes a batch of texts, prompts and all.
            positions: Any, in any order.
            take: Gives the texts at positions.
        """
        positions = np.unique(positions)
        if (padding := Padding.of(preprocess(PROBE))) is None or not len(positions):
            return None
        found = [bytearray() for _ in padding.kept]  # they grow in place: the tokens are never held twice
        lengths = np.zeros(len(positions), dtype=np.int64)
        with progress("Tokenising", len(positions), "texts") as bar:
            for start in range(0, len(positions), TEXTS_PER_BLOCK):
                block = slice(start, start + TEXTS_PER_BLOCK)
                if (tokenised := _tokenised(preprocess, padding, take(positions[block]))) is None:
                    return None
                lengths[block], values = tokenised
                for kept, more in zip(found, values):
                    kept += more.tobytes()
                bar.update(len(lengths[block]))
        tokens = {name: _frozen(kept, KEPT[name]) for name, kept in zip(padding.kept, found)}
        texts = cls(positions, lengths, tokens, padding)
        return texts if texts._is_as_of(preprocess, take) else None

    def has(self, positions: IntArray) -> bool:
        """Whether the texts at all these positions are tokenised."""
        return bool(np.isin(positions, self.positions).all())

    def lengths(self, positions: IntArray) -> IntArray:
        """(n,) tokens of the texts at these positions."""
        return self._spans(positions)[1]

    def rows(self, positions: IntArray) -> tuple[npt.NDArray[np.int32], IntArray]:
        """The tokens of the texts at these positions, one after another, and the (n,) lengths."""
        starts, lengths = self._spans(positions)
        return self.tokens["input_ids"][_within(starts, lengths)], lengths

    def batch(self, positions: IntArray) -> Features:
        """The texts at these positions as one padded batch: what the host would make of them, key by key."""
        starts, lengths = self._spans(positions)
        places = _within(starts, lengths)
        return self.padding.batch(lengths, {name: values[places] for name, values in self.tokens.items()})

    def ids(self) -> IntArray:
        """All token ids that occur, padding among them, ascending."""
        return np.union1d(self.tokens["input_ids"], [self.padding.values["input_ids"]]).astype(np.int64)

    def _spans(self, positions: IntArray) -> tuple[IntArray, IntArray]:
        """Where the tokens of each text start, and how many they are; ``KeyError`` for a text that is not there."""
        places = np.minimum(np.searchsorted(self.positions, positions), len(self.positions) - 1)
        if (unknown := positions[self.positions[places] != positions]).size:
            raise KeyError(int(unknown[0]))
        starts = np.where(places, self.ends[places - 1], 0)
        return starts, self.ends[places] - starts

    def _is_as_of(self, preprocess: Preprocess, take: Take) -> bool:
        by_length = np.argsort(np.diff(self.ends, prepend=0), kind="stable")
        some = self.positions[by_length[np.linspace(0, len(by_length) - 1, CHECKED).astype(np.int64)]]
        batches = [some, *some[:, None]]  # alone, too: a fixed width would not show beside the longest
        return all(same_features(self.batch(batch), preprocess(take(batch))) for batch in batches)


class Padding(NamedTuple):
    """How the host makes a batch of tokens.

    Attributes:
        names: Of all features, in the host's order.
        types: Of those that are tensors.
        values: What those of [`KEPT`] are padded with.
        left: Whether the padding is in front.
        constants: Features that are the same in every batch, such as the modality.
    """

    names: list[str]
    types: dict[str, torch.dtype]
    values: dict[str, int]
    left: bool
    constants: Features

    @classmethod
    def of(cls, probe: Features) -> Padding | None:
        """Read off the host's batch of [`PROBE`]; None where it is more than padded tokens."""
        tensors = {name: value for name, value in probe.items() if isinstance(value, torch.Tensor)}
        constants = {name: value for name, value in probe.items() if name not in tensors}
        if not {"input_ids", MASK} <= tensors.keys() <= {*KEPT, MASK}:
            return None
        if not all(value is None or isinstance(value, (str, int)) for value in constants.values()):
            return None
        mask = tensors[MASK]
        if any(value.shape != mask.shape for value in tensors.values()) or mask.ndim != 2 or mask.bool().all():
            return None
        values = {name: int(value[mask == 0][0]) for name, value in tensors.items() if name in KEPT}
        types = {name: value.dtype for name, value in tensors.items()}
        return cls(list(probe), types, values, left=not mask[0, 0], constants=constants)

    @property
    def kept(self) -> list[str]:
        """Names of what is kept of every token."""
        return list(self.values)

    def real(self, lengths: IntArray) -> npt.NDArray[np.bool_]:
        """(n, longest) where the tokens of rows of these lengths are; no column is padding alone."""
        width = int(lengths.max())
        places = np.arange(width)
        return places >= width - lengths[:, None] if self.left else places < lengths[:, None]

    def batch(self, lengths: IntArray, tokens: dict[str, npt.NDArray[Any]]) -> Features:
        """A padded batch of n rows of these lengths, given their tokens one after another."""
        real = self.real(lengths)
        found: Features = {MASK: torch.from_numpy(real).to(self.types[MASK])}
        for name, values in tokens.items():
            rows = np.full(real.shape, self.values[name], dtype=np.int64)
            rows[real] = values
            found[name] = torch.from_numpy(rows).to(self.types[name])
        return {name: found[name] if name in found else self.constants[name] for name in self.names}


def same_features(ours: Features, theirs: Features) -> bool:
    """Whether two batches are equal: names, order, types and values."""
    return list(ours) == list(theirs) and all(_same(ours[name], theirs[name]) for name in ours)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and bool(one == other)


def _tokenised(
    preprocess: Preprocess, padding: Padding, texts: list[str]
) -> tuple[IntArray, list[npt.NDArray[Any]]] | None:
    """The (n,) lengths of n texts and, for each kept feature, all its values; None where rows are not as expected."""
    order = np.argsort([len(text) for text in texts], kind="stable")  # so that little is padded
    lengths: list[IntArray] = []
    values: list[list[npt.NDArray[Any]]] = []
    for start in range(0, len(order), TEXTS_PER_CALL):
        features = preprocess([texts[place] for place in order[start : start + TEXTS_PER_CALL]])
        if list(features) != padding.names:
            return None
        mask = features[MASK].numpy().astype(bool)
        lengths.append(mask.sum(axis=1))
        if not np.array_equal(mask, padding.real(lengths[-1])):
            return None
        values.append([features[name].numpy()[mask].astype(KEPT[name]) for name in padding.kept])
    found = np.concatenate(lengths)
    back = np.argsort(order)
    places = _within((np.cumsum(found) - found)[back], found[back])
    return found[back], [np.concatenate(parts)[places] for parts in zip(*values)]


def _within(starts: IntArray, lengths: IntArray) -> IntArray:
    """All places of rows that start there and are so long."""
    return np.repeat(starts, lengths) + numbers_within(lengths)


def _frozen(kept: bytearray, kind: type) -> npt.NDArray[Any]:
    """What was collected, as an array; where all values are the same, one stands for all."""
    values: npt.NDArray[Any] = np.frombuffer(kept, dtype=kind)
    same = len(values) > 0 and values.min() == values.max()
    return np.broadcast_to(values[:1].copy(), values.shape) if same else values
