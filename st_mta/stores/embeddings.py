"""Embeddings of texts: append-only blocks, memory-mapped, one folder per model fingerprint and role."""

from __future__ import annotations

import mmap
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.stores.damage import rename_damaged
from st_mta.stores.finite import check_finite
from st_mta.stores.keys import KeyArray, text_keys
from st_mta.stores.ledger import Ledger
from st_mta.types import FloatArray, IntArray, Texts, numbers_within

Role = Literal["query", "document"]
ROLES: tuple[Role, ...] = ("query", "document")
Encode = Callable[[list[str]], FloatArray]
# Texts are sorted by length within this many blocks: batches become homogeneous, reading in corpus order stays local.
WINDOW_BLOCKS = 16


@dataclass(frozen=True)
class Embeddings:
    """Rows of embeddings that lie in memory-mapped blocks; nothing is read before it is asked for.

    Attributes:
        block_arrays: The mapped blocks, each (rows, D).
        block_of: (n,) block number of each row.
        row_of: (n,) row within that block.
    """

    block_arrays: tuple[npt.NDArray[np.floating], ...]
    block_of: IntArray
    row_of: IntArray

    def __len__(self) -> int:
        return len(self.block_of)

    @property
    def dimension(self) -> int:
        """D, 0 when there is no embedding."""
        return int(self.block_arrays[0].shape[1]) if self.block_arrays else 0

    def at(self, places: IntArray) -> Embeddings:
        """The embeddings at these places, still unread."""
        return replace(self, block_of=self.block_of[places], row_of=self.row_of[places])

    def rows(self, index: IntArray | slice) -> FloatArray:
        """The embeddings at these places (0..n-1, in the order of the positions asked for).

        Returns:
            (len(index), D) float32.
        """
        block_of, row_of = self.block_of[index], self.row_of[index]
        blocks = np.unique(block_of)
        if len(blocks) == 1 and (np.diff(row_of) > 0).all():
            return _copied(self.block_arrays[blocks[0]], row_of)
        gathered = np.empty((len(block_of), self.dimension), dtype=np.float32)
        for block in blocks:
            here = np.flatnonzero(block_of == block)
            # Ascending rows turn random reads of the disk into one sweep.
            here = here[np.argsort(row_of[here], kind="stable")]
            gathered[here] = _copied(self.block_arrays[block], row_of[here])
        return gathered

    def blocks(self, size: int) -> Iterator[tuple[int, FloatArray]]:
        """All rows in order, ``size`` at a time, as (start, rows)."""
        for start in range(0, len(self), size):
            yield start, self.rows(slice(start, start + size))

    def sweep(self, size: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """All rows in the order in which they are stored, at most ``size`` at a time, as (places, rows).

        Whole stretches of a block come as views of it: nothing is copied, and memory does not grow with the number of
        rows, provided that a stretch is read before the next step, or that a later reader calls ``forget``.
        """
        order = np.lexsort((self.row_of, self.block_of))
        ends = np.flatnonzero(np.diff(self.block_of[order])) + 1
        for stretch in np.split(order, ends) if len(order) else ():
            block = self.block_arrays[self.block_of[stretch[0]]]
            for start in range(0, len(stretch), size):
                places = stretch[start : start + size]
                yield places, _rows_of_block(block, self.row_of[places])
                _forget_pages(block)

    def forget(self) -> None:
        """Gives back the memory of what was read of mapped blocks; views of them stay valid, and are read again."""
        for block in self.block_arrays:
            _forget_pages(block)


def _rows_of_block(block: npt.NDArray[np.floating], rows: IntArray) -> FloatArray:
    """Ascending rows of one block as float32, without a copy where they are consecutive."""
    consecutive = bool((np.diff(rows) == 1).all())
    taken = block[rows[0] : rows[-1] + 1] if consecutive else block[rows]
    return np.asarray(taken, dtype=np.float32)


def _copied(block: npt.NDArray[np.floating], rows: IntArray) -> FloatArray:
    """A copy of ascending rows of one block as float32."""
    taken = np.asarray(block.take(rows, axis=0), dtype=np.float32)
    _forget_pages(block)
    return taken


def _forget_pages(block: npt.NDArray[np.floating]) -> None:
    """Gives back the memory of a mapped block; the system's file cache keeps it as long as there is room."""
    mapped: object = block.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class _Index:
    """All stored rows of one model and role, sorted by key."""

    names: tuple[str, ...]
    keys: KeyArray
    stored: Embeddings

    def find(self, keys: KeyArray) -> IntArray:
        """Place of each key in the sorted rows, -1 where unknown."""
        if len(self.keys) == 0:
            return np.full(len(keys), -1, dtype=np.int64)
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


class EmbeddingStore:
    """Embeddings by model fingerprint, role and text key, so that a text is encoded once in the life of the store.

    Each block is written under a temporary name and renamed when whole; a killed process loses at most one block.

    Args:
        folder: Where the folders of the models lie.
        ledger: Counts what was encoded and what was reused.
    """

    def __init__(self, folder: Path, ledger: Ledger | None = None) -> None:
        self.folder = folder
        self.ledger = ledger if ledger is not None else Ledger()
        self._indices: dict[tuple[str, Role], _Index] = {}

    def get(
        self, fingerprint: str, role: Role, texts: Texts, positions: IntArray, encode: Encode, block_size: int = 2**15
    ) -> Embeddings:
        """The embeddings of these texts; those not in the store are encoded and stored first.

        Args:
            fingerprint: The model.
            role: "query" or "document" (prompts differ).
            texts: The table.
            positions: (n,) positions in the table, repeats allowed.
            encode: Turns a list of texts into (len(list), D) embeddings.
            block_size: Texts encoded and written at a time, the most that a kill can lose.

        Raises:
            InputError: If the model gives non-finite embeddings or another shape, or the disk is full.
        """
        positions = np.asarray(positions, dtype=np.int64)
        keys = text_keys(texts)[positions]
        index = self._index(fingerprint, role)
        distinct, first = np.unique(keys, return_index=True)
        missing = np.sort(positions[first[index.find(distinct) < 0]])
        self.ledger.count_encoded(role, len(missing), len(distinct) - len(missing))
        if len(missing):
            self._encode_missing(fingerprint, role, texts, missing, encode, block_size)
            index = self._index(fingerprint, role)
        return index.stored.at(index.find(keys))

    def count(self, fingerprint: str) -> int:
        """Rows stored of a model, both roles together."""
        return sum(len(self._index(fingerprint, role).keys) for role in ROLES)

    def _encode_missing(
        self, fingerprint: str, role: Role, texts: Texts, missing: IntArray, encode: Encode, block_size: int
    ) -> None:
        lengths = pc.binary_length(texts.column).to_numpy()
        unit = "queries" if role == "query" else "passages"
        with progress(f"Encoding {unit}", len(missing), unit) as bar:
            for block in blocks_by_length(missing, lengths, block_size):
                embeddings = np.asarray(encode(texts.take(block)))
                _check_embeddings(embeddings, texts, block)
                self._write(fingerprint, role, text_keys(texts)[block], embeddings.astype(np.float32))
                bar.update(len(block))

    def _write(self, fingerprint: str, role: Role, keys: KeyArray, embeddings: npt.NDArray[np.floating]) -> None:
        path = self.folder / fingerprint / role / f"part-{uuid.uuid4().hex}"
        # The keys come last: a block counts once both files stand.
        for suffix, array in ((".npy", embeddings), (".keys.npy", keys)):
            with atomic_path(path.with_suffix(suffix)) as temporary, open(temporary, "wb") as file:
                np.save(file, array)

    def _index(self, fingerprint: str, role: Role) -> _Index:
        folder = self.folder / fingerprint / role
        names = tuple(sorted(path.name.removesuffix(".keys.npy") for path in folder.glob("part-*.keys.npy")))
        known = self._indices.get((fingerprint, role))
        if known is None or known.names != names:
            known = self._indices[fingerprint, role] = _read_index(folder, names)
        return known


def blocks_by_length(positions: IntArray, lengths: IntArray, block_size: int) -> Iterator[IntArray]:
    """Cuts positions (n,) in a table into blocks of texts of similar length, longest first within each window."""
    window = block_size * WINDOW_BLOCKS
    for start in range(0, len(positions), window):
        part = positions[start : start + window]
        part = part[np.argsort(-lengths[part], kind="stable")]
        for inner in range(0, len(part), block_size):
            yield part[inner : inner + block_size]


def _check_embeddings(embeddings: FloatArray, texts: Texts, block: IntArray) -> None:
    if embeddings.ndim != 2 or len(embeddings) != len(block):
        raise InputError(
            expected=f"one embedding for each of {len(block)} texts",
            got=f"an array of shape {embeddings.shape}",
            remedy="use a model that gives one vector per text",
        )
    check_finite("embeddings", embeddings, lambda row: f"the text with id {texts.take_ids([block[row]])[0]!r}")


def _read_index(folder: Path, names: tuple[str, ...]) -> _Index:
    blocks = [block for name in names if (block := _read_block(folder, name)) is not None]
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *(keys for _, keys in blocks)])
    lengths = np.asarray([len(keys) for _, keys in blocks], dtype=np.int64)
    block_of = np.repeat(np.arange(len(blocks), dtype=np.int64), lengths)
    order = np.argsort(keys, kind="stable")
    stored = Embeddings(tuple(array for array, _ in blocks), block_of, numbers_within(lengths))
    return _Index(names, keys[order], stored.at(order))


def _read_block(folder: Path, name: str) -> tuple[npt.NDArray[np.floating], KeyArray] | None:
    """A block's mapped rows and keys, or None after renaming a damaged block."""
    rows_path, keys_path = folder / f"{name}.npy", folder / f"{name}.keys.npy"
    try:
        keys = np.load(keys_path)
        rows = np.load(rows_path, mmap_mode="r")
        if keys.dtype != np.uint64 or rows.ndim != 2 or len(rows) != len(keys):
            raise ValueError(f"{keys.shape} keys of type {keys.dtype} for rows of shape {rows.shape}")
    except (OSError, ValueError, EOFError) as error:
        rename_damaged([keys_path, rows_path], str(error), "its texts will be encoded again")
        return None
    return rows, keys
