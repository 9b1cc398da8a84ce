"""Rows of different lengths, one behind the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from st_mta.types.arrays import BoolArray, IntArray


class Ragged:
    """Rows of any length, one behind the other: row i owns ``offsets[i]:offsets[i + 1]``."""

    offsets: IntArray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> IntArray:
        """(Q,) entries of each row."""
        return np.diff(self.offsets)

    @property
    def rows(self) -> IntArray:
        """(P,) row number (0..Q-1) of each entry."""
        return np.repeat(np.arange(len(self), dtype=np.int64), self.lengths)

    def pairs_of(self, rows: IntArray) -> IntArray:
        """Index of every entry of these rows, row after row: selects what lies beside the entries, as scores do."""
        return np.repeat(self.offsets[rows], self.lengths[rows]) + numbers_within(self.lengths[rows])


def offsets_of(lengths: npt.NDArray[np.integer]) -> IntArray:
    """(Q + 1,) boundaries of rows of these lengths (Q,)."""
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def numbers_within(lengths: npt.NDArray[np.integer]) -> IntArray:
    """0, 1, 2, ... within each of consecutive rows of these lengths."""
    starts: IntArray = np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.arange(len(starts), dtype=np.int64) - starts


def starts_of(*columns: npt.NDArray[Any]) -> BoolArray:
    """(n,) where a new combination of values begins in sorted columns."""
    starts = np.zeros(len(columns[0]), dtype=bool)
    starts[:1] = True
    for column in columns:
        starts[1:] |= column[1:] != column[:-1]
    return starts
