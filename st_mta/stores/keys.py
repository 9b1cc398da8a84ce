"""Content keys of texts: the same text has the same key in every collection, process and version."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_mta.types import IntArray, Texts

KeyArray = npt.NDArray[np.uint64]

_STEP = np.uint64(0x9E3779B97F4A7C15)
"""An odd number near 2^64 / golden ratio, by whose multiples places are told apart."""

_keys_of: WeakKeyDictionary[Texts, KeyArray] = WeakKeyDictionary()


def text_keys(texts: Texts) -> KeyArray:
    """The 64-bit content key of every text: the low half of its MD5 digest (of the UTF-8 bytes).

    The keys of a table are computed once and remembered as long as the table lives. With n distinct texts two of
    them share a key with a probability of about n^2 / 2^65: 2e-6 for the 8.8 million passages of MS MARCO, 3e-4 for
    10^8 texts. MD5 serves as a fast, fixed mixing function here, not as protection against forgery.

    Returns:
        (n,) uint64, in the order of the texts.
    """
    if texts not in _keys_of:
        _keys_of[texts] = keys_of_column(texts.column)
    return _keys_of[texts]


def keys_of_column(column: pa.ChunkedArray) -> KeyArray:
    """The content keys of an Arrow string column."""
    with duckdb.connect() as connection:
        connection.register("texts", pa.table({"text": column}))
        # Insertion order is kept by default; it is set here because the keys are useless without it.
        connection.execute("SET preserve_insertion_order = true")
        keys = connection.sql("SELECT md5_number_lower(text) AS key FROM texts").fetchnumpy()["key"]
    return np.asarray(keys, dtype=np.uint64)


def list_keys(query_keys: KeyArray, passage_keys: KeyArray, offsets: IntArray) -> KeyArray:
    """One key of each query with its list of passages, in their order; list i owns ``offsets[i]:offsets[i + 1]``.

    A sum of mixed keys and places: of n distinct lists two share a key with a probability of about n^2 / 2^65.

    Args:
        query_keys: (Q,).
        passage_keys: (P,) of all lists, one behind the other.
        offsets: (Q + 1,).

    Returns:
        (Q,) uint64.
    """
    lengths = np.diff(offsets)
    place = np.arange(len(passage_keys), dtype=np.int64) - np.repeat(offsets[:-1], lengths)
    mixed = mix(passage_keys + _STEP * (place + 1).astype(np.uint64))
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    within = sums[offsets[1:]] - sums[offsets[:-1]]  # whole numbers modulo 2^64, so that sums may wrap around
    return mix(query_keys ^ mix(within + _STEP * lengths.astype(np.uint64)))


def mix(keys: KeyArray) -> KeyArray:
    """(n,) keys all of whose bits depend on all bits of the given ones, each on one: the finaliser of SplitMix64.

    From Steele, Lea and Flood (OOPSLA 2014), with the constants of Stafford's variant 13.
    """
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def keys_of_texts(texts: list[str]) -> KeyArray:
    """The content keys of a few texts."""
    return keys_of_column(pa.chunked_array([pa.array(texts, pa.large_string())]))
