"""Content keys of texts: the same text has the same key in every collection, process and version."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from st_mta.types import Texts

KeyArray = npt.NDArray[np.uint64]

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
