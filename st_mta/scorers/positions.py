"""One look at the positions of queries and passages, for every kind of scorer."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np

from st_mta.errors import InputError
from st_mta.types import IntArray, Texts


def checked_pairs(
    queries: Texts, corpus: Texts, query_positions: Any, passage_positions: Any
) -> tuple[IntArray, IntArray]:
    """(P,) positions of P pairs.

    Raises:
        InputError: If these are not two arrays of one length of whole numbers from 0 to below the tables' lengths.
    """
    pairs = _checked(queries, query_positions, "query"), _checked(corpus, passage_positions, "passage")
    if len(pairs[0]) != len(pairs[1]):
        _refuse("one query position and one passage position per pair", f"{len(pairs[0])} and {len(pairs[1])} of them")
    return pairs


def checked_search(queries: Texts, query_positions: Any, k: Any) -> tuple[IntArray, int]:
    """(Q,) positions of queries, and how many passages are wanted for each.

    Raises:
        InputError: If these are no whole numbers from 0 to below the table's length, or k is no number of passages.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 0:
        _refuse("k, a number of passages per query, to be a whole number of at least 0", repr(k))
    return _checked(queries, query_positions, "query"), int(k)


def _checked(texts: Texts, positions: Any, what: str) -> IntArray:
    array = np.asarray(positions)
    if array.size == 0 and array.ndim == 1:  # an empty list is one of floats to numpy
        return np.zeros(0, dtype=np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        _refuse(f"{what} positions as one array of whole numbers", f"{array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= len(texts):
        outside = array[(array < 0) | (array >= len(texts))]
        _refuse(f"{what} positions from 0 to {len(texts) - 1}", f"{len(outside)} others, the first is {outside[0]}")
    return array.astype(np.int64, copy=False)


def _refuse(expected: str, got: str) -> NoReturn:
    raise InputError(
        expected=expected,
        got=got,
        consequence="other texts than meant would be scored",
        remedy="take positions from Texts.positions(ids), which gives those of ids",
    )
