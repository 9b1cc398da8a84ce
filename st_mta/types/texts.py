"""Passages or queries with their ids, however many."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.types.arrays import IntArray

FINGERPRINT_WINDOW = 2**16  # texts read at a time for a digest


class Texts:
    """An ordered table of texts with ids, held in Arrow memory (8.8 million passages fit, or stay memory-mapped).

    Args:
        ids: Unique ids, one per text.
        texts: The texts, in the order of the ids.

    Raises:
        InputError: If the lengths differ or an id occurs twice.
    """

    def __init__(self, ids: Iterable[str] | pa.ChunkedArray, texts: Iterable[str] | pa.ChunkedArray) -> None:
        self._ids = _string_column(ids)
        self._texts = _string_column(texts)
        if len(self._ids) != len(self._texts):
            raise InputError(
                expected="one text per id",
                got=f"{len(self._ids)} ids and {len(self._texts)} texts",
                remedy="give two lists of the same length",
            )
        if pc.count_distinct(self._ids).as_py() < len(self._ids):
            counts = pc.value_counts(self._ids.combine_chunks())
            repeated = pc.filter(counts.field("values"), pc.greater(counts.field("counts"), 1))
            raise InputError(
                expected="unique ids",
                got=f"{len(repeated)} ids more than once, the first is {repeated[0].as_py()!r}",
                remedy="remove or rename the repeated entries",
            )

    @classmethod
    def from_dict(cls, texts: Mapping[str, str]) -> Texts:
        """Makes a table from a dictionary of id -> text."""
        return cls(list(texts), list(texts.values()))

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, query_or_passage_id: str) -> str:
        """The text with this id."""
        return self.take(self.positions([query_or_passage_id]))[0]

    def __contains__(self, text_id: object) -> bool:
        return isinstance(text_id, str) and pc.index(self._ids, pa.scalar(text_id, self._ids.type)).as_py() >= 0

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        return iter(self.ids)

    @property
    def ids(self) -> list[str]:
        """All ids, in order."""
        return list(self._ids.to_pylist())

    @property
    def column(self) -> pa.ChunkedArray:
        """The texts as an Arrow column, for code that streams them."""
        return self._texts

    def take(self, positions: Sequence[int] | IntArray) -> list[str]:
        """The texts at these positions, as Python strings."""
        return _take(self._texts, positions)

    def take_ids(self, positions: Sequence[int] | IntArray) -> list[str]:
        """The ids at these positions."""
        return _take(self._ids, positions)

    def positions(self, ids: Sequence[str]) -> IntArray:
        """The positions of these ids; raises ``KeyError`` naming the first unknown one."""
        found = self.find(ids)
        if (found < 0).any():
            raise KeyError(ids[int(np.argmax(found < 0))])
        return found

    def find(self, ids: Sequence[str] | pa.Array) -> IntArray:
        """The positions of these ids, -1 where an id is unknown."""
        wanted = ids.cast(self._ids.type) if isinstance(ids, pa.Array) else pa.array(list(ids), type=self._ids.type)
        found = pc.fill_null(pc.index_in(wanted, value_set=self._ids.combine_chunks()), -1)
        return np.asarray(found.to_numpy(), dtype=np.int64)

    def select(self, positions: Sequence[int] | IntArray) -> Texts:
        """A smaller table with the texts at these positions."""
        index = pa.array(np.asarray(positions, dtype=np.int64))
        return Texts(self._ids.take(index), self._texts.take(index))

    @cached_property
    def fingerprint(self) -> str:
        """Digest of all ids and texts in their order (32 hexadecimal digits)."""
        digest = hashlib.blake2b(digest_size=16)
        for column in (self._ids, self._texts):
            # Windows of fixed size: the digest knows nothing of the column's chunks, and memory stays bounded.
            for start in range(0, len(column), FINGERPRINT_WINDOW):
                window = column.slice(start, FINGERPRINT_WINDOW)
                digest.update(pc.binary_length(window).to_numpy().astype(np.int64).tobytes())
                digest.update("".join(window.to_pylist()).encode())
        return digest.hexdigest()


def _string_column(values: Iterable[str] | pa.ChunkedArray) -> pa.ChunkedArray:
    """A ``large_string`` column (64-bit offsets, since a corpus may exceed 2 GiB of text)."""
    if isinstance(values, pa.ChunkedArray):
        return values.cast(pa.large_string())
    array = values if isinstance(values, pa.Array) else pa.array(list(values), pa.large_string())
    return pa.chunked_array([array.cast(pa.large_string())])


def _take(column: pa.ChunkedArray, positions: Sequence[int] | IntArray) -> list[str]:
    """Strings at these positions, chunk by chunk: Arrow's own ``take`` would first copy the whole column together."""
    index = np.asarray(positions, dtype=np.int64)
    if column.num_chunks <= 1:
        return list(column.take(pa.array(index)).to_pylist())
    ends = np.cumsum([len(chunk) for chunk in column.chunks])
    if len(index) and not (0 <= index.min() and index.max() < ends[-1]):
        raise IndexError(f"position outside 0..{ends[-1] - 1}")
    chunk_of = np.searchsorted(ends, index, side="right")
    order = np.argsort(chunk_of, kind="stable")
    taken: list[str] = []
    for number in np.unique(chunk_of):
        inside = index[order][chunk_of[order] == number] - (ends[number] - len(column.chunk(number)))
        taken += column.chunk(number).take(pa.array(inside)).to_pylist()
    result = np.empty(len(index), dtype=object)
    result[order] = taken
    return list(result)
