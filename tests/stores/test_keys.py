from __future__ import annotations

import gc
import hashlib
import weakref

import numpy as np

from st_mta.stores import text_keys
from st_mta.types import Texts

ODD = ["", " ", "cat", "Cat", "cat ", "naïve café", "\x00nul", "a\nb", "汉字" * 5000]


def test_keys_are_the_low_half_of_md5_of_the_text():
    keys = text_keys(Texts([str(i) for i in range(len(ODD))], ODD))
    expected = [int.from_bytes(hashlib.md5(text.encode()).digest()[8:], "little") for text in ODD]
    assert keys.dtype == np.uint64
    assert keys.tolist() == expected


def test_keys_keep_the_order_of_a_large_table():
    texts = [str(i) for i in range(50_000)]
    keys = text_keys(Texts(texts, texts))
    assert len(np.unique(keys)) == len(keys)
    for position in (0, 1, 25_000, 49_999):
        assert keys[position] == text_keys(Texts(["x"], [texts[position]]))[0]


def test_keys_do_not_depend_on_ids():
    assert text_keys(Texts(["a"], ["cat"])) == text_keys(Texts(["b"], ["cat"]))


def test_keys_are_computed_once_and_do_not_keep_the_table_alive():
    texts = Texts(["a"], ["cat"])
    assert text_keys(texts) is text_keys(texts)
    alive = weakref.ref(texts)
    del texts
    gc.collect()
    assert alive() is None
