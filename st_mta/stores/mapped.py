"""Embeddings in memory-mapped blocks; nothing is read before it is asked for."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from st_mta.types import FloatArray, IntArray


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

        Whole stretches of a block in float32 come as views of it, of one in float16 as copies: memory does not grow
        with the number of rows, provided that a stretch is read before the next step, or that a later reader calls
        ``forget``.
        """
        order = np.lexsort((self.row_of, self.block_of))
        ends = np.flatnonzero(np.diff(self.block_of[order])) + 1
        for stretch in np.split(order, ends) if len(order) else ():
            block = self.block_arrays[self.block_of[stretch[0]]]
            for start in range(0, len(stretch), size):
                places = stretch[start : start + size]
                yield places, _rows_of_block(block, self.row_of[places])
                forget_pages(block)

    def forget(self) -> None:
        """Gives back the memory of what was read of mapped blocks; views of them stay valid, and are read again."""
        for block in self.block_arrays:
            forget_pages(block)


def _rows_of_block(block: npt.NDArray[np.floating], rows: IntArray) -> FloatArray:
    """Ascending rows of one block as float32, without a copy where they are consecutive."""
    consecutive = bool((np.diff(rows) == 1).all())
    taken = block[rows[0] : rows[-1] + 1] if consecutive else block[rows]
    return np.asarray(taken, dtype=np.float32)


def _copied(block: npt.NDArray[np.floating], rows: IntArray) -> FloatArray:
    """A copy of ascending rows of one block as float32."""
    taken = np.asarray(block.take(rows, axis=0), dtype=np.float32)
    forget_pages(block)
    return taken


def forget_pages(block: npt.NDArray[np.floating]) -> None:
    """Gives back the memory of a mapped block; the system's file cache keeps it as long as there is room."""
    mapped: object = block.base
    if isinstance(mapped, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED)
