from __future__ import annotations

import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError

CORPUS = {"p1": "Cats purr.", "p2": "Dogs bark."}
QUERIES = {"q1": "who purrs", "q2": "who barks", "q3": "who sings"}


def test_plain_qrels_are_those_of_train() -> None:
    collection = from_dictionaries("pets", CORPUS, QUERIES, {"q1": {"p1": 2, "p2": -3}})
    assert collection.qrels == {"train": {"q1": {"p1": 2, "p2": 0}}}
    assert collection.queries.take_ids(collection.unlabelled) == ["q2", "q3"]


def test_qrels_by_split() -> None:
    collection = from_dictionaries(
        "pets", CORPUS, QUERIES, {"train": {"q1": {"p1": 1}}, "validation": {"q2": {"p2": 1}}, "test": {}}
    )
    assert collection.qrels == {"train": {"q1": {"p1": 1}}, "dev": {"q2": {"p2": 1}}, "test": {}}


def test_corpus_alone() -> None:
    collection = from_dictionaries("pets", CORPUS)
    assert (len(collection.corpus), len(collection.queries), collection.qrels) == (2, 0, {})


def test_query_without_positive_leaves_its_split_but_is_not_unlabelled() -> None:
    collection = from_dictionaries("pets", CORPUS, QUERIES, {"q1": {"p1": 0}, "q2": {"p2": 1}})
    assert list(collection.qrels["train"]) == ["q2"]
    assert collection.queries.take_ids(collection.unlabelled) == ["q3"]
    assert collection.notes == ("1 queries of train have no relevant passage and were left out.",)


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "words"),
    [
        ({}, QUERIES, None, "an empty corpus in 'pets'"),
        ({1: "x"}, QUERIES, None, "of corpus, got int 1"),
        (CORPUS, {"q1": None}, None, "of queries, got str 'q1' -> NoneType"),
        (CORPUS, QUERIES, {"q9": {"p1": 1}}, "query id 'q9' at row 0 of the judgements of train"),
        (CORPUS, QUERIES, {"test": {"q1": {"p1": 1, "p9": 1}}}, "passage id 'p9' at row 1 of the judgements of test"),
        (CORPUS, QUERIES, {"q1": {"p1": 0.5}}, r"\('q1', 'p1', 0.5\)"),
        (CORPUS, QUERIES, {"q1": {"p1": "1"}}, r"\('q1', 'p1', '1'\)"),
        (CORPUS, QUERIES, {"q1": {1: 1}}, r"\('q1', 1, 1\)"),
    ],
)
def test_bad_input_is_named(corpus: dict, queries: dict, qrels: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_dictionaries("pets", corpus, queries, qrels)
