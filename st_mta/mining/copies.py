"""Passages with the same text: what is relevant under one id is relevant under every other."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import duckdb
import numpy as np
import pyarrow as pa

from st_mta.stores.keys import KeyArray
from st_mta.types import BoolArray, Collection, IntArray, Texts, numbers_within

BLANKS = r"[\s\p{Z}\x{0B}\x{1C}-\x{1F}\x{85}\x{200B}\x{FEFF}]+"
"""White space of every script, and the marks of width zero that exports leave behind."""

_firsts: WeakKeyDictionary[Texts, IntArray] = WeakKeyDictionary()
_keys: WeakKeyDictionary[Texts, KeyArray] = WeakKeyDictionary()


def loose_keys(texts: Texts) -> KeyArray:
    """(n,) content keys that texts share when they differ in white space or in composed characters alone.

    Case counts. The keys of a table are computed once and remembered as long as the table lives.
    """
    if texts not in _keys:
        with duckdb.connect() as connection:
            connection.register("texts", pa.table({"text": texts.column}))
            connection.execute("SET preserve_insertion_order = true")
            found = connection.execute(
                "SELECT md5_number_lower(trim(regexp_replace(nfc_normalize(text), ?, ' ', 'g'))) AS key FROM texts",
                [BLANKS],
            )
            _keys[texts] = np.asarray(found.fetchnumpy()["key"], dtype=np.uint64)
    return _keys[texts]


def first_copies(corpus: Texts) -> IntArray:
    """(n,) for every passage the position of the first one with its text: its own where there is none before."""
    if corpus not in _firsts:
        _, first, group = np.unique(loose_keys(corpus), return_index=True, return_inverse=True)
        _firsts[corpus] = first[group].astype(np.int64)
    return _firsts[corpus]


def first_of_same(collection: Collection) -> IntArray:
    """(n,) for every passage the first one judged alike: with its text, or of a document with the same text."""
    if (windows := collection.windows) is None:
        return first_copies(collection.corpus)
    return windows.offsets[first_copies(windows.documents)][windows.document]


def with_copies(passages: IntArray, first: IntArray) -> tuple[IntArray, IntArray]:
    """Every passage with the text of one of these.

    Args:
        passages: (P,) positions.
        first: (n,) as of [`first_copies`].

    Returns:
        (M,) which of the P it is a copy of, ascending, and (M,) positions; a passage is a copy of itself.
    """
    sizes = np.bincount(first, minlength=len(first))
    starts, by_text = np.cumsum(sizes) - sizes, np.argsort(first, kind="stable")
    times = sizes[first[passages]]
    of = np.repeat(np.arange(len(passages), dtype=np.int64), times)
    return of, by_text[starts[first[passages[of]]] + numbers_within(times)].astype(np.int64)


def repeated(groups: IntArray) -> BoolArray:
    """Which entries of a (Q, K) matrix stand further left in their row already."""
    order = np.argsort(groups, axis=1, kind="stable")
    ordered = np.take_along_axis(groups, order, axis=1)
    again = np.zeros(groups.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    result = np.empty_like(again)
    np.put_along_axis(result, order, again, axis=1)
    return result
