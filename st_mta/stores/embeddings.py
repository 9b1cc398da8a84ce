"""Embeddings of texts: append-only blocks, memory-mapped, one folder per model fingerprint and role."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.processes import at_once, processes
from st_mta.progress import progress
from st_mta.stores.blocks import KEYS, ROWS, Index, count_rows, known_keys, read_index, write_block
from st_mta.stores.claims import claimed
from st_mta.stores.compaction import compact
from st_mta.stores.finite import check_finite
from st_mta.stores.formats import in_format, resolve_format
from st_mta.stores.keys import KeyArray, text_keys
from st_mta.stores.ledger import Ledger
from st_mta.stores.locks import LOCKS
from st_mta.stores.mapped import Embeddings as Embeddings
from st_mta.stores.parts import ATTEMPTS, Verified, listed
from st_mta.stores.uses import Uses
from st_mta.types import FloatArray, IntArray, Texts

Role = Literal["query", "document"]
ROLES: tuple[Role, ...] = ("query", "document")
Encode = Callable[[list[str]], FloatArray]
# Texts are sorted by length within this many blocks: batches become homogeneous, reading in corpus order stays local.
WINDOW_BLOCKS = 16
SMALL, MERGED = 2**13, 2**18
"""Bytes of keys: blocks with fewer (1,000 rows) are merged once there are many, into blocks of so many (32,000)."""


class EmbeddingStore:
    """Embeddings by model fingerprint, role and text key, so that a text is encoded once in the life of the store.

    Each block is written under a temporary name and renamed when whole; a killed process loses at most one block. The
    digests in a block's name are compared once per process before its rows are handed out.

    Args:
        folder: Where the folders of the models lie.
        ledger: Counts what was encoded and what was reused.
        uses: Notes which models are in use.
        stored_in: "fp32", or "fp16" for half the space; see [`Store`]. What is stored already is read as it is.
    """

    def __init__(
        self, folder: Path, ledger: Ledger | None = None, uses: Uses | None = None, stored_in: str | None = None
    ) -> None:
        self.folder, self.uses = folder, uses
        self.stored_in = resolve_format(stored_in)
        self.ledger = ledger if ledger is not None else Ledger()
        self._indices: dict[tuple[str, Role], Index] = {}
        self._verified = Verified()
        self._unusable: set[str] = set()

    def get(
        self, fingerprint: str, role: Role, texts: Texts, positions: IntArray, encode: Encode, block_size: int = 2**15
    ) -> Embeddings:
        """The embeddings of these texts; those not in the store are encoded and stored first.

        Which texts are encoded together depends on what is asked for and missing, in whole blocks, so that a run that
        was killed and asks again gets the very same numbers.

        Args:
            fingerprint: The model.
            role: "query" or "document" (prompts differ).
            texts: The table.
            positions: (n,) positions in the table, repeats allowed.
            encode: Turns a list of texts into (len(list), D) embeddings.
            block_size: Texts encoded and written at a time, the most that a kill can lose.

        Raises:
            InputError: If the model gives non-finite embeddings or another shape, the disk is full or cannot be
                written, or the store is cleared again and again.
        """
        positions = np.asarray(positions, dtype=np.int64)
        keys = text_keys(texts)[positions]
        distinct, first = np.unique(keys, return_index=True)
        self._prepare(fingerprint, role)
        encoded = 0
        for _ in range(ATTEMPTS):
            index = self._whole_index(fingerprint, role, distinct)
            known = index.find(distinct) >= 0
            if known.all():
                self.ledger.count_encoded(role, encoded, max(0, len(distinct) - encoded))
                return index.stored.at(index.find(keys))
            lengths = pc.binary_length(texts.column).to_numpy()
            asked = by_length(np.sort(positions[first]), lengths, block_size)
            missing = asked[np.isin(text_keys(texts)[asked], distinct[~known])]
            encoded += self._encode(fingerprint, role, texts, missing, encode, block_size)
        raise InputError(
            expected=f"what was stored in {self.folder} to stay there while it is used",
            got=f"{(~known).sum()} embeddings that vanished as soon as they were written",
            remedy="find out which other program deletes them, and run the same command again",
        )

    def fill(
        self, fingerprint: str, role: Role, texts: Texts, asked: IntArray, encode: Encode, block_size: int
    ) -> int:
        """Encodes and stores those of these texts (n,) that are not stored, whole blocks in this very order.

        Args: As of ``get``; no two of the texts are equal.

        Returns:
            How many were encoded here.
        """
        self._prepare(fingerprint, role)
        keys = text_keys(texts)[asked]
        missing = asked[self._whole_index(fingerprint, role, keys).find(keys) < 0]
        encoded = self._encode(fingerprint, role, texts, missing, encode, block_size)
        self.ledger.count_encoded(role, encoded, len(asked) - encoded)
        return encoded

    def count(self, fingerprint: str) -> int:
        """Rows stored of a model, both roles together, as the blocks say; they are not read."""
        folders = [self.folder / fingerprint / role for role in ROLES]
        return sum(count_rows(folder, name) for folder in folders for name in _names(folder))

    def keys(self, fingerprint: str, role: Role) -> KeyArray:
        """The keys (n,) of the texts that are stored of a model, ascending; nothing is written or marked as used."""
        return self._index(fingerprint, role).keys

    def forget(self) -> None:
        """Lets go of mapped blocks: those that were deleted take space on disk until then."""
        self._indices.clear()

    def _prepare(self, fingerprint: str, role: Role) -> None:
        if self.uses is not None:
            self.uses.mark(fingerprint)
        folder, lock = self.folder / fingerprint / role, self.folder / LOCKS / f"{fingerprint}-{role}.merge"
        compact(folder, lock, KEYS, SMALL, partial(self._merge, folder), beside=(ROWS,))

    def _encode(
        self, fingerprint: str, role: Role, texts: Texts, missing: IntArray, encode: Encode, block_size: int
    ) -> int:
        """Encodes and stores texts block by block, but for those that another process stores meanwhile."""
        folder, keys = self.folder / fingerprint / role, text_keys(texts)
        news = _News(folder, self._index(fingerprint, role), self._verified, self._unusable)
        blocks = [missing[start : start + block_size] for start in range(0, len(missing), block_size)]
        encoded = 0
        unit = "queries" if role == "query" else "passages"
        with progress(f"Encoding {unit}", len(missing), unit) as bar:
            for wait in (False, True):
                left: list[IntArray] = []
                for group in at_once(blocks, 1 if wait else processes().width(encode)):
                    with ExitStack() as claims:
                        ours: list[IntArray] = []
                        for block in group:
                            claim = claimed(self.folder, f"{fingerprint}-{role}", keys[block], wait)
                            free = claims.enter_context(claim)
                            unknown = ~np.isin(keys[block], news.look())
                            ours.append(block[unknown & free])
                            left.append(block[unknown & ~free])
                            bar.update(len(block) - len(left[-1]))
                        ours = [block for block in ours if len(block)]
                        for block, rows in zip(ours, processes().map(encode, [(texts.take(b),) for b in ours])):
                            embeddings = np.asarray(rows)
                            _check_embeddings(embeddings, texts, block, news.index.stored.dimension)
                            news.add(write_block(folder, keys[block], in_format(embeddings, self.stored_in)))
                    encoded += sum(map(len, ours))
                blocks = [block for block in left if len(block)]
        return encoded

    def _whole_index(self, fingerprint: str, role: Role, keys: KeyArray) -> Index:
        """The index, after the blocks in which these keys stand were verified."""
        while True:
            index = self._index(fingerprint, role)
            places = index.find(keys)
            broken = index.damaged(places[places >= 0], self._verified)
            if not broken:
                return index
            self._unusable.update(broken)  # where they could not be renamed
            del self._indices[fingerprint, role]

    def _index(self, fingerprint: str, role: Role) -> Index:
        folder = self.folder / fingerprint / role
        names = tuple(name for name in _names(folder) if name not in self._unusable)
        known = self._indices.get((fingerprint, role))
        if known is None or known.names != names:
            known = self._indices[fingerprint, role] = read_index(folder, names, self._verified)
        return known

    def _merge(self, folder: Path, parts: list[Path]) -> Iterator[list[Path]]:
        """Writes blocks anew as few large ones; gives the keys' files of those that are no longer needed."""
        for group in _groups(parts, MERGED):
            index = read_index(folder, [part.name.removesuffix(KEYS) for part in group], self._verified)
            if index.damaged(np.arange(len(index.keys)), self._verified):
                continue  # renamed; the others are merged another time
            keys, first = np.unique(index.keys, return_index=True)
            rows = index.stored.at(first).rows(slice(None))
            write_block(folder, keys, rows.astype(np.result_type(*index.stored.block_arrays)))
            yield [path.with_name(path.name.removesuffix(ROWS) + KEYS) for path in index.paths]


class _News:
    """Keys that stand in blocks written since an index was read."""

    def __init__(self, folder: Path, index: Index, verified: Verified, unusable: set[str]) -> None:
        self.folder, self.index, self._verified = folder, index, verified
        self._seen = {*index.names, *unusable}
        self._keys = np.zeros(0, dtype=np.uint64)

    def add(self, name: str) -> None:
        """Passes over a block of our own."""
        self._seen.add(name)

    def look(self) -> KeyArray:
        """The keys of blocks that others wrote."""
        for name in set(_names(self.folder)) - self._seen:
            self._seen.add(name)
            self._keys = np.concatenate([self._keys, known_keys(self.folder, name, self._verified)])
        return self._keys


def by_length(positions: IntArray, lengths: IntArray, block_size: int) -> IntArray:
    """Positions (n,) in a table, the longest texts first within each window of ``WINDOW_BLOCKS`` blocks."""
    window = np.arange(len(positions)) // (block_size * WINDOW_BLOCKS)
    return positions[np.lexsort((-lengths[positions], window))]


def _names(folder: Path) -> list[str]:
    return [entry.name.removesuffix(KEYS) for entry in listed(folder, KEYS)]


def _groups(parts: list[Path], most: int) -> Iterator[list[Path]]:
    """Consecutive files of ``most`` bytes together."""
    group: list[Path] = []
    size = 0
    for part in parts:
        group.append(part)
        size += part.stat().st_size
        if size >= most or part is parts[-1]:
            yield group
            group, size = [], 0


def _check_embeddings(embeddings: npt.NDArray[np.floating], texts: Texts, block: IntArray, width: int) -> None:
    """Refuses what is not one finite vector per text, of the ``width`` stored so far (0 for any)."""
    if embeddings.ndim != 2 or len(embeddings) != len(block):
        raise InputError(
            expected=f"one embedding for each of {len(block)} texts",
            got=f"an array of shape {embeddings.shape}",
            remedy="use a model that gives one vector per text",
        )
    if width and embeddings.shape[1] != width:
        raise InputError(
            expected=f"embeddings with {width} numbers, as this model stored before",
            got=f"{embeddings.shape[1]}",
            remedy="clear what it stored (st-mta cache --clear FINGERPRINT) and run the same command again",
        )
    check_finite("embeddings", embeddings, lambda row: f"the text with id {texts.take_ids([block[row]])[0]!r}")
