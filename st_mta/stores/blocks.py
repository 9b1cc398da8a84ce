"""Blocks of embeddings on disk: rows that can be mapped, and beside them the keys of their texts."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from st_mta.stores.damage import rename_damaged
from st_mta.stores.keys import KeyArray
from st_mta.stores.mapped import Embeddings, forget_pages
from st_mta.stores.parts import Verified, write_part
from st_mta.types import IntArray, numbers_within

ROWS, KEYS = ".npy", ".keys.npy"
ROWS_FILE, KEYS_FILE = 0, 1  # whose digest is which in a block's name
Block = tuple[npt.NDArray[np.floating], KeyArray]


@dataclass(frozen=True)
class Index:
    """All stored rows of one model and role, sorted by key.

    Attributes:
        names: The blocks that were there, the unusable included.
        paths: The rows' file of each block.
        keys: (n,).
        stored: n embeddings.
    """

    names: tuple[str, ...]
    paths: tuple[Path, ...]
    keys: KeyArray
    stored: Embeddings

    def find(self, keys: KeyArray) -> IntArray:
        """Place of each key in the sorted rows, -1 where unknown."""
        if len(self.keys) == 0:
            return np.full(len(keys), -1, dtype=np.int64)
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)

    def damaged(self, places: IntArray, verified: Verified) -> list[str]:
        """The blocks among those of some rows that are damaged, after renaming them, or gone."""
        touched = np.unique(self.stored.block_of[places])
        return [
            name
            for block in touched.tolist()
            if not _is_whole(self.paths[block], self.stored.block_arrays[block], verified)
            for name in [self.paths[block].name.removesuffix(ROWS)]
        ]


def write_block(folder: Path, keys: KeyArray, rows: npt.NDArray[np.floating]) -> str:
    """Writes n rows (n, D) and their keys (n,); returns the block's name."""
    # The keys come last: a block counts once both files stand.
    return write_part(folder, {ROWS: _pieces(rows), KEYS: _pieces(keys)})


def read_index(folder: Path, names: Sequence[str], verified: Verified) -> Index:
    """The index of some blocks; their rows are mapped and not yet verified. Damaged ones are renamed."""
    found = [(name, block) for name in names if (block := _open_block(folder, name, verified)) is not None]
    found = _of_one_width(folder, found)
    blocks = [block for _, block in found]
    keys = np.concatenate([np.zeros(0, dtype=np.uint64), *(keys for _, keys in blocks)])
    lengths = np.asarray([len(keys) for _, keys in blocks], dtype=np.int64)
    block_of = np.repeat(np.arange(len(blocks), dtype=np.int64), lengths)
    order = np.argsort(keys, kind="stable")
    stored = Embeddings(tuple(array for array, _ in blocks), block_of, numbers_within(lengths))
    paths = tuple(folder / f"{name}{ROWS}" for name, _ in found)
    return Index(tuple(names), paths, keys[order], stored.at(order))


def known_keys(folder: Path, name: str, verified: Verified) -> KeyArray:
    """The keys of a block, none if it is damaged or gone."""
    block = _open_block(folder, name, verified)
    return np.zeros(0, dtype=np.uint64) if block is None else block[1]


def count_rows(folder: Path, name: str) -> int:
    """The rows of a block as its header says, 0 if it says nothing."""
    try:
        rows = np.load(folder / f"{name}{ROWS}", mmap_mode="r")
    except Exception:
        return 0
    return len(rows) if rows.ndim == 2 else 0


def _pieces(array: npt.NDArray[np.generic]) -> tuple[bytes, bytes]:
    """An array as the bytes of a .npy file."""
    header = io.BytesIO()
    array = np.ascontiguousarray(array)
    np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
    return header.getvalue(), array.tobytes()


def _open_block(folder: Path, name: str, verified: Verified) -> Block | None:
    """A block's mapped rows and its keys; None after renaming a damaged one, or if it is gone."""
    rows_path, keys_path = folder / f"{name}{ROWS}", folder / f"{name}{KEYS}"
    try:
        if problem := verified.problem(keys_path, KEYS_FILE):
            raise ValueError(problem)
        keys = np.load(keys_path)
        rows = np.load(rows_path, mmap_mode="r")
        if keys.dtype != np.uint64 or keys.ndim != 1 or rows.ndim != 2 or len(rows) != len(keys):
            raise ValueError(f"keys of shape {keys.shape} and type {keys.dtype} for rows of shape {rows.shape}")
        if rows.dtype.kind != "f":
            raise ValueError(f"rows of type {rows.dtype}")
    except FileNotFoundError:
        return None
    except Exception as error:  # a damaged header can raise whatever Python's own parser raises
        set_aside(folder, name, " ".join(str(error).split()))
        return None
    return rows, keys


def _of_one_width(folder: Path, found: list[tuple[str, Block]]) -> list[tuple[str, Block]]:
    """The blocks of the width that most rows have; the others are renamed."""
    widths = np.asarray([rows.shape[1] for _, (rows, _) in found], dtype=np.int64)
    if len(found) == 0 or (widths == widths[0]).all():
        return found
    usual = int(np.bincount(widths, weights=[len(keys) for _, (_, keys) in found]).argmax())
    for name, (rows, _) in found:
        if rows.shape[1] != usual:
            set_aside(folder, name, f"its rows have {rows.shape[1]} numbers, most others {usual}")
    return [(name, block) for name, block in found if block[0].shape[1] == usual]


def _is_whole(path: Path, rows: npt.NDArray[np.floating], verified: Verified) -> bool:
    """Whether mapped rows are as they were written; if not, their block is renamed."""
    try:
        problem = verified.problem(path, ROWS_FILE)
        if not problem and not verified.is_known(path):  # written before there were digests
            problem = _problem_without_digest(path, rows)
            verified.remember(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        problem = str(error)
    if problem:
        set_aside(path.parent, path.name.removesuffix(ROWS), problem)
    return not problem


def _problem_without_digest(path: Path, rows: npt.NDArray[np.floating]) -> str:
    if path.stat().st_size < rows.nbytes:
        return "it is shorter than it was"
    finite = bool(np.isfinite(rows).all())
    forget_pages(rows)
    return "" if finite else "not all of its numbers are finite"


def set_aside(folder: Path, name: str, problem: str) -> None:
    """Renames both files of a damaged block."""
    rename_damaged([folder / f"{name}{KEYS}", folder / f"{name}{ROWS}"], problem, "its texts will be encoded again")
