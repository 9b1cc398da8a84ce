"""How often texts hold each term, in flat arrays: tokens are Python lists for one block of texts at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from st_mta.types import IntArray, offsets_of


class Tokenized(NamedTuple):
    """Texts as terms, as ``bm25s.tokenize`` gives them.

    Attributes:
        ids: A list of term numbers for each text.
        vocab: Term -> number.
    """

    ids: Sequence[Sequence[int]]
    vocab: dict[str, int]


@dataclass(frozen=True)
class TermCounts:
    """The terms of a corpus, with their counts.

    Attributes:
        by_term: (n, V) counts in the smallest unsigned integers that hold them, passages ascending in every column.
        lengths: (n,) tokens of each passage, repeats included.
        vocabulary: Term -> column, in the order in which terms first occur.
    """

    by_term: sp.csc_matrix
    lengths: IntArray
    vocabulary: dict[str, int]


def flat(tokens: Tokenized) -> tuple[IntArray, npt.NDArray[np.int32]]:
    """Lengths (n,), and the term numbers of all texts one behind the other."""
    lengths = np.fromiter(map(len, tokens.ids), np.int64, len(tokens.ids))
    return lengths, np.fromiter(chain.from_iterable(tokens.ids), np.int32, int(lengths.sum()))


def count_terms(blocks: Iterable[Tokenized]) -> TermCounts:
    """Counts the terms of consecutive blocks of texts.

    For T distinct pairs of a text and a term it takes some 10 T bytes for a moment, and leaves 5 T.
    """
    vocabulary: dict[str, int] = {}
    lengths, rows, terms, counts = (_Growing(kind) for kind in (np.int64, np.int64, np.int32, np.uint8))
    for tokens in blocks:
        of_block, numbers = flat(tokens)
        lengths.extend(of_block)
        found = _count(of_block, _numbers(tokens.vocab, vocabulary)[numbers], len(vocabulary))
        for column, more in zip((rows, terms, counts), found):
            column.extend(more)
    shape = len(rows.array), len(vocabulary)
    by_text = sp.csr_matrix((counts.array, terms.array, offsets_of(rows.array)), shape=shape)
    return TermCounts(by_text.tocsc(), lengths.array, vocabulary)


class _Growing:
    """An array that grows in place, and into wider numbers where it must.

    Thousands of small arrays, put together in the end, would leave as much memory behind that nobody can use.

    Args:
        kind: Its type to begin with.
    """

    def __init__(self, kind: type[np.integer]) -> None:
        self._kind: np.dtype[Any] = np.dtype(kind)
        self._bytes = bytearray()

    @property
    def array(self) -> npt.NDArray[Any]:
        """Everything so far; it cannot grow as long as this is held."""
        return np.frombuffer(self._bytes, dtype=self._kind)

    def extend(self, values: npt.NDArray[Any]) -> None:
        """Puts values at its end."""
        kind = np.promote_types(self._kind, values.dtype)
        if kind != self._kind:
            self._bytes, self._kind = bytearray(self.array.astype(kind).tobytes()), kind
        self._bytes += values.astype(kind).tobytes()


def _numbers(of_block: dict[str, int], vocabulary: dict[str, int]) -> npt.NDArray[np.int32]:
    """The numbers in the whole corpus of the terms of a block, by their numbers there; new terms are added."""
    numbers = np.zeros(max(of_block.values(), default=-1) + 1, dtype=np.int32)
    numbers[list(of_block.values())] = [vocabulary.setdefault(term, len(vocabulary)) for term in of_block]
    return numbers


def _count(lengths: IntArray, terms: npt.NDArray[np.int32], size: int) -> list[npt.NDArray[np.integer]]:
    """Distinct terms of each text (n,); each text's terms, ascending; and how often it has them."""
    rows = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    pairs, counts = np.unique(rows * max(size, 1) + terms, return_counts=True)
    rows, distinct = np.divmod(pairs, max(size, 1))
    smallest = np.min_scalar_type(int(counts.max(initial=0)))
    return [np.bincount(rows, minlength=len(lengths)), distinct.astype(np.int32), counts.astype(smallest)]
