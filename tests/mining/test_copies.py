"""A passage with a positive's text is that positive, whatever its id."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.collections import from_dictionaries
from st_mta.mining import mine, positive_ranks
from st_mta.mining.copies import first_copies, loose_keys, repeated, with_copies
from st_mta.types import Texts
from tests.mining.conftest import FixedRankings

TEXT = "café by the  sea"
COPIES = {
    "the same": TEXT,
    "single blanks": "café by the sea",
    "blanks around": "\n café by the  sea\t",
    "no-break and ideographic blanks": "café\u00a0by\u3000the\u2009sea",
    "a line of its own": "café by\r\nthe\x0bsea",
    "a decomposed accent": "cafe\u0301 by the  sea",
    "a byte order mark": "\ufeffcafé by the  sea",
    "a blank of width zero": "café by the \u200bsea",
}
OTHERS = {"case": "Café by the  sea", "a letter": "cafe by the  sea", "no blank": "café bythe sea"}


@pytest.mark.parametrize("copy", COPIES.values(), ids=COPIES)
def test_white_space_and_composition_do_not_make_another_text(copy):
    assert first_copies(Texts(["a", "b"], [TEXT, copy])).tolist() == [0, 0]


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS)
def test_another_text_is_no_copy(other):
    assert first_copies(Texts(["a", "b"], [TEXT, other])).tolist() == [0, 1]


def test_keys_keep_the_order_of_a_long_table():
    texts = [f"text {number}" for number in range(200_000)]
    keys = loose_keys(Texts([f"p{number}" for number in range(len(texts))], texts))
    assert len(np.unique(keys)) == len(texts)
    some = [199_999, 3, 123_456]
    assert keys[some].tolist() == loose_keys(Texts(["a", "b", "c"], [texts[place] for place in some])).tolist()


def test_all_copies_of_some_passages():
    first = np.array([0, 1, 0, 3, 1, 0])
    of, passages = with_copies(np.array([4, 3, 2]), first)
    assert of.tolist() == [0, 0, 1, 2, 2, 2] and passages.tolist() == [1, 4, 3, 0, 2, 5]


def test_repeats_within_a_row_are_marked_from_the_second_on():
    marks = repeated(np.array([[3, 1, 3, 3], [1, 2, 2, 1], [0, 1, 2, 3]]))
    assert marks.tolist() == [[False, False, True, True], [False, False, True, True], [False] * 4]
    assert repeated(np.zeros((2, 0), dtype=np.int64)).shape == (2, 0)


@pytest.fixture
def collection():
    """p0 is relevant; c0, c1 and c2 are copies of it, d1 of p1; "twin" has the query's own text."""
    corpus = {"p0": TEXT, "c0": TEXT, "p1": "a ship", "d1": " a  ship", "c1": COPIES["a decomposed accent"]}
    corpus |= {"twin": "where is\u00a0the café", "p2": "bread", "c2": COPIES["single blanks"], "p3": "milk"}
    return from_dictionaries("copies", corpus, {"q": "where is the café"}, {"train": {"q": {"p0": 1}}})


def candidates_of(collection, rankings, qrels, **options):
    retrievers = [FixedRankings(f"r{number}", {0: ranking}) for number, ranking in enumerate(rankings)]
    lists = mine(collection, np.array([0]), retrievers, qrels, **options)
    return collection.corpus.take_ids(lists.passages), lists.positive.tolist()


def test_copies_of_a_positive_are_no_negatives(collection):
    ids, positive = candidates_of(collection, [range(9)], collection.qrels["train"])
    assert ids == ["p0", "p1", "p2", "p3"] and positive == [True, False, False, False]


def test_a_text_is_in_a_list_once_whoever_brings_it(collection):
    ids, _ = candidates_of(collection, [[3, 6], [2, 8]], collection.qrels["train"])
    assert ids == ["p0", "d1", "p2", "p3"]


def test_a_copy_takes_no_place_in_a_list(collection):
    ids, _ = candidates_of(collection, [[2, 3, 6, 8]], collection.qrels["train"], num_candidates=3)
    assert ids == ["p0", "p1", "p2"]


def test_without_judgements_a_text_is_in_a_list_once_too(collection):
    assert candidates_of(collection, [range(9)], None)[0] == ["p0", "p1", "p2", "p3"]


def test_copies_take_no_ranks_from_the_negatives(collection):
    ids, _ = candidates_of(collection, [[0, 1, 4, 7, 2, 6, 8]], collection.qrels["train"], depth=4)
    assert ids == ["p0", "p1", "p2", "p3"]


def test_the_rank_of_a_copy_is_the_rank_of_the_positive(collection):
    found = FixedRankings("r", {0: [6, 4, 0]}).retrieve(collection.queries, collection.corpus, np.array([0]), 3)
    assert positive_ranks(found, collection, collection.qrels["train"]).tolist() == [2]
