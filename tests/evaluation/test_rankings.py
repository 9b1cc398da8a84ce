from __future__ import annotations

import logging

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.evaluation.rankings import cut, judged_queries, own_passages
from st_mta.types import Collection, Retrieved, Texts

NAN, INF = np.nan, np.inf


def retrieved(passages, scores):
    passages = np.array(passages, dtype=np.int64)
    return Retrieved(np.arange(len(passages)), passages, np.array(scores, dtype=np.float32))


def test_sorts_cuts_and_drops():
    found = retrieved([[4, 7, 2, 9], [-1, -1, 5, 3]], [[0.1, NAN, 0.3, 0.2], [5.0, -INF, 1.0, -INF]])
    best = cut(found, 3, own=np.array([-1, -1]))
    assert best.passages.tolist() == [[2, 9, 4], [5, 3, -1]]  # a real score of -inf stands before padding
    assert best.scores.tolist() == [pytest.approx([0.3, 0.2, 0.1]), [1.0, -INF, -INF]]


def test_ties_keep_their_order():
    found = retrieved([[8, 3, 5, 1]], [[1.0, 2.0, 1.0, 1.0]])
    assert cut(found, 4, own=np.array([-1])).passages.tolist() == [[3, 8, 5, 1]]
    passages = np.random.default_rng(0).permutation(300)
    found = retrieved([passages], [passages % 2])
    odd, even = passages[passages % 2 == 1], passages[passages % 2 == 0]
    assert cut(found, 300, own=np.array([-1])).passages[0].tolist() == [*odd, *even]


def test_the_query_itself_makes_room_for_the_next():
    found = retrieved([[8, 3, 5]], [[3.0, 2.0, 1.0]])
    assert cut(found, 2, own=np.array([8])).passages.tolist() == [[3, 5]]


def test_the_passage_with_the_querys_id_is_its_own_whatever_it_says(caplog):
    texts = {"same": "to be  or not", "other": "to be", "text only": "to be or not"}
    corpus = {"x": "to be or not", "other": "something else", "same": "Title. to be or\nnot"}
    collection = Collection("ids in common", Texts.from_dict(corpus), Texts.from_dict(texts), {})
    with caplog.at_level(logging.WARNING):
        assert own_passages(collection, np.arange(3)).tolist() == [2, 1, -1]
        own_passages(collection, np.arange(3))
    (record,) = caplog.records
    assert "ids in common: 1 of 3 queries" in record.message and "ids that no passage has" in record.message


def test_passages_that_contain_their_query_are_no_reason_to_warn(caplog):
    collection = Collection("arguana", Texts.from_dict({"a": "Title. to be"}), Texts.from_dict({"a": "to be"}), {})
    assert own_passages(collection, np.arange(1)).tolist() == [0]
    assert not caplog.records


def test_judged_queries_in_the_order_of_the_qrels(collection):
    assert judged_queries(collection, "dev").tolist() == [2, 0, 1, 3]


def test_a_split_without_judgements_is_refused(collection):
    with pytest.raises(InputError, match="dev, test.*'train'"):
        judged_queries(collection, "train")
