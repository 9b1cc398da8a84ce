"""Which passages of a list are compared with each other."""

from __future__ import annotations

import numpy as np

from st_mta.types import IntArray


def compared(size: int, comparisons: int | None = None) -> tuple[IntArray, IntArray]:
    """The pairs of a list's places that are compared, each once.

    With a budget, place i meets i + step (around the end) for some steps: the neighbours, so that all places are
    linked, and others at growing distances, so that few comparisons lie between any two.

    Args:
        size: Passages of the list.
        comparisons: With how many others each passage is compared, at least; None for all.

    Returns:
        Two arrays (C,) of places.
    """
    if size < 2:
        return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    steps = _steps(size, comparisons)
    left = np.tile(np.arange(size, dtype=np.int64), len(steps))
    step = np.repeat(steps, size)
    once = (2 * step < size) | (left < step)  # half way around, a pair would come from both sides
    return left[once], ((left + step) % size)[once]


def _steps(size: int, comparisons: int | None) -> IntArray:
    """Distances between compared places, ascending from 1; each but half the size brings two others per place."""
    half = size // 2
    number = half if comparisons is None else min(half, -(-comparisons // 2))
    farthest = half if number == half else (size - 1) // 2
    steps = np.unique(np.geomspace(1, farthest, number).round().astype(np.int64))
    others = np.setdiff1d(np.arange(1, farthest + 1), steps)  # where rounding made two of them equal
    return np.union1d(steps, others[: number - len(steps)])
