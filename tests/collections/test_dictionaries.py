from __future__ import annotations

import numpy as np
import pandas as pd
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


KINDS = {"set": set, "list": list, "tuple": tuple, "keys": lambda ids: dict.fromkeys(ids).keys(), "array": np.array}


@pytest.mark.parametrize("of", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("by_split", [False, True])
def test_ids_alone_are_of_grade_1(of, by_split: bool) -> None:
    qrels = {"q1": of(["p2", "p1"]), "q2": {"p2": 2}}
    collection = from_dictionaries("pets", CORPUS, QUERIES, {"Validation": qrels} if by_split else qrels)
    assert collection.qrels == {"dev" if by_split else "train": {"q1": {"p1": 1, "p2": 1}, "q2": {"p2": 2}}}


def test_sets_come_in_one_order_whatever_python_hashes() -> None:
    ids = [f"p{number}" for number in range(50)]
    collection = from_dictionaries("many", dict.fromkeys(ids, "x"), {"q": "x"}, {"q": set(ids)})
    assert list(collection.qrels["train"]["q"]) == sorted(ids)


def test_a_corpus_in_the_form_of_beir() -> None:
    corpus = {"p1": {"title": "Cats", "text": "They purr. "}, "p2": {"title": None, "text": "Dogs bark."}, "p3": "x"}
    assert from_dictionaries("pets", corpus).corpus.take(range(3)) == ["Cats They purr.", "Dogs bark.", "x"]


def test_series_of_pandas_are_dictionaries() -> None:
    collection = from_dictionaries("pets", pd.Series(CORPUS), pd.Series(QUERIES), pd.Series({"q1": {"p1": 1}}))
    assert collection.qrels == {"train": {"q1": {"p1": 1}}}
    assert collection.queries.take(range(3)) == [*QUERIES.values()]


def test_numbers_of_numpy_are_grades() -> None:
    grades = {"p1": np.float32(2), "p2": np.int8(1)}
    collection = from_dictionaries("pets", CORPUS, QUERIES, {"q1": grades, "q2": {"p1": np.bool_(True)}})
    assert collection.qrels["train"] == {"q1": {"p1": 2, "p2": 1}, "q2": {"p1": 1}}


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "words"),
    [
        ({}, QUERIES, None, "an empty corpus in 'pets'"),
        ({1: "x"}, QUERIES, None, "of corpus, got int 1"),
        (CORPUS, {"q1": None}, None, "of queries, got str 'q1' -> NoneType"),
        (CORPUS, QUERIES, {"q9": {"p1": 1}}, "query id 'q9' at row 0 of the judgements of train"),
        (CORPUS, QUERIES, {"q1": {"p1": 2**63}}, r"\('q1', 'p1', 9223372036854775808\)"),
        (CORPUS, QUERIES, {"q1": {"p1": 10**400}}, r"below 2\*\*53 as grade"),
        (CORPUS, QUERIES, {"q1": {"p1": float("inf")}}, r"\('q1', 'p1', inf\)"),
        (CORPUS, QUERIES, {"q1": {1, 2}}, r"\('q1', 1, 1\)"),
        (CORPUS, QUERIES, {"q1": "p1"}, "'q1' -> 'p1' in the judgements of train"),
        (CORPUS, QUERIES, {"q1": [["p1", 1]]}, "in the judgements of train"),
        (CORPUS, QUERIES, {"q1": {"p1": 1}, "q2": None}, "'q2' -> None in the judgements of train"),
        (CORPUS, QUERIES, {"dev": {"q1": {"p1"}}, "validation": {"q2": {"p2"}}}, "'dev' under two names"),
        ({"p\ud800": "x"}, QUERIES, None, "half a character"),
        (CORPUS, {"q1": "\udfff"}, None, "Unicode in queries"),
        (CORPUS, QUERIES, {"q1": {"p\ud800": 1}}, "Unicode in the judgements of train"),
        (CORPUS, QUERIES, {"q1": {"p1": 0.5}}, r"\('q1', 'p1', 0.5\)"),
        (CORPUS, QUERIES, {"q1": {"p1": "1"}}, r"\('q1', 'p1', '1'\)"),
        (CORPUS, QUERIES, {"q1": {1: 1}}, r"\('q1', 1, 1\)"),
    ],
)
def test_bad_input_is_named(corpus: dict, queries: dict, qrels: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        from_dictionaries("pets", corpus, queries, qrels)


@pytest.mark.parametrize(("noun", "given"), [("corpus", ["a"]), ("queries", ["q"]), ("qrels", [("q", "p", 1)])])
def test_what_is_no_dictionary_is_refused(noun, given):
    parts = {"corpus": {"p": "a"}, "queries": {"q": "a"}, "qrels": {"q": {"p": 1}}} | {noun: given}
    with pytest.raises(InputError, match=f"a dictionary as {noun}"):
        from_dictionaries("pets", **parts)
