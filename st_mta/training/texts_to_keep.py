"""The texts that a smaller vocabulary has to read as before."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from st_mta.errors import InputError
from st_mta.types import Collection, IntArray

TEXTS_PER_BLOCK = 8192


def listed(expected: str, texts: Any) -> list[str]:
    """Texts as a list, one text as a list of one.

    Raises:
        InputError: If there is anything but texts.
    """
    if isinstance(texts, str):
        return [texts]
    found = list(texts) if isinstance(texts, Iterable) else None
    if found is not None and all(isinstance(text, str) for text in found):
        return found
    wrong = texts if found is None else next(text for text in found if not isinstance(text, str))
    raise InputError(
        expected=expected,
        got=f"{wrong!r}" if found is None else f"{wrong!r} as text {found.index(wrong)}",
        remedy="give strings; leave out or convert what is none",
    )


@dataclass
class TextsToKeep:
    """Texts behind every prompt, in blocks; they are read twice, once before the cut and once after it.

    Attributes:
        texts: Texts, or a collection: its passages and the queries of all splits but the test split.
        prompts: What may stand before a text, "" among it.

    Raises:
        InputError: If anything else is given.
    """

    texts: Any
    prompts: list[str]

    def __post_init__(self) -> None:
        if not isinstance(self.texts, Collection):
            self.texts = listed("texts, or a collection", self.texts)

    def __len__(self) -> int:
        plain = len(self.queries) + len(self.texts.corpus) if isinstance(self.texts, Collection) else len(self.texts)
        return (plain + len(self.prompts)) * len(self.prompts)

    @property
    def queries(self) -> IntArray:
        """Positions of a collection's queries that are no test queries."""
        splits = [self.texts.queries_of(split) for split in self.texts.qrels if split != "test"]
        return np.unique(np.concatenate([*splits, self.texts.unlabelled])).astype(np.int64)

    def blocks(self) -> Iterator[list[str]]:
        """Every text behind every prompt."""
        for block in self._plain():
            for prompt in self.prompts:
                yield [prompt + text for text in block]

    def first(self, count: int) -> list[str]:
        """Some of the texts."""
        return [text for block in self._plain() for text in block[:count]][:count]

    def _plain(self) -> Iterator[list[str]]:
        yield list(self.prompts)
        if not isinstance(self.texts, Collection):
            yield from (
                self.texts[start : start + TEXTS_PER_BLOCK] for start in range(0, len(self.texts), TEXTS_PER_BLOCK)
            )
            return
        for texts, positions in (
            (self.texts.queries, self.queries),
            (self.texts.corpus, np.arange(len(self.texts.corpus))),
        ):
            for start in range(0, len(positions), TEXTS_PER_BLOCK):
                yield texts.take(positions[start : start + TEXTS_PER_BLOCK])
