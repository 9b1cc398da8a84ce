from __future__ import annotations

import pytest

from st_mta.collections import from_dictionaries, with_dev_split, with_training_queries
from st_mta.types import Collection, Qrels


def make(num_train: int = 0, num_test: int = 0, spare: int = 0) -> Collection:
    corpus = {f"p{i}": f"passage number {i} has some words more than the eight it needs" for i in range(10)}
    queries = {
        f"{kind}{i}": f"{kind} {i}" for kind, n in (("a", num_train), ("t", num_test), ("u", spare)) for i in range(n)
    }
    train: Qrels = {f"a{i}": {f"p{i % 10}": 1} for i in range(num_train)}
    test: Qrels = {f"t{i}": {f"p{i % 10}": 1} for i in range(num_test)}
    return from_dictionaries("made", corpus, queries, {"train": train, "test": test})


@pytest.mark.parametrize("collection", [make(num_train=3), make(spare=3)], ids=["labelled", "unlabelled"])
def test_own_training_queries_are_enough(collection: Collection) -> None:
    assert with_training_queries(collection, seed=0, num_crops=5) is collection


def test_crops_where_there_are_none() -> None:
    collection = with_training_queries(make(num_test=2), seed=0, num_crops=5)
    assert len(collection.unlabelled) == 5
    assert not collection.qrels["train"] and len(collection.qrels["test"]) == 2
    assert collection.notes == ("5 training queries are random spans of passages.",)


def test_dev_is_cut_from_train() -> None:
    collection = make(num_train=40, num_test=5)
    cut = with_dev_split(collection, seed=0)
    assert len(cut.qrels["dev"]) == 4
    assert not set(cut.qrels["dev"]) & set(cut.qrels["train"])
    assert {**cut.qrels["dev"], **cut.qrels["train"]} == collection.qrels["train"]
    assert cut.qrels["test"] == collection.qrels["test"]
    assert cut.notes == ("The dev split is 4 of 40 training queries (seed 0).",)


def test_seed_decides_what_dev_is() -> None:
    collection = make(num_train=40)
    assert with_dev_split(collection, seed=1).fingerprint == with_dev_split(collection, seed=1).fingerprint
    assert with_dev_split(collection, seed=1).fingerprint != with_dev_split(collection, seed=2).fingerprint


@pytest.mark.parametrize(
    ("num_train", "options", "size"),
    [(40, {"max_queries": 3}, 3), (3, {}, 1), (2, {}, 1), (40, {}, 4)],
)
def test_size_of_dev(num_train: int, options: dict[str, int], size: int) -> None:
    assert len(with_dev_split(make(num_train=num_train), seed=0, **options).qrels["dev"]) == size


def test_own_dev_stays() -> None:
    collection = from_dictionaries("own", {"p": "x"}, {"q": "y"}, {"dev": {"q": {"p": 1}}})
    assert with_dev_split(collection, seed=0) is collection


@pytest.mark.parametrize("num_train", [0, 1])
def test_unlabelled_queries_are_the_dev_split_where_there_is_nothing_to_cut(num_train: int) -> None:
    collection = make(num_train=num_train, num_test=3, spare=40)
    cut = with_dev_split(collection, seed=0)
    assert len(cut.qrels["dev"]) == 4 and not any(cut.qrels["dev"].values())
    assert set(cut.queries_of("dev")) | set(cut.unlabelled) == set(collection.unlabelled)
    assert len(cut.unlabelled) == 36
    assert len(cut.qrels["train"]) == num_train and len(cut.qrels["test"]) == 3
    assert cut.notes[-1].startswith("The dev split is 4 of 40 unlabelled training queries (seed 0), judged by the tea")


@pytest.mark.parametrize("num_train", [0, 1])
def test_crops_are_the_dev_split_where_there_are_no_queries(num_train: int) -> None:
    collection = with_dev_split(make(num_train=num_train, num_test=3), seed=0, max_queries=6)
    assert len(collection.qrels["dev"]) == 1 and len(collection.unlabelled) == 5
    assert all(name.startswith("crop:") for name in collection.qrels["dev"])


def test_a_large_dev_split_is_used_in_part() -> None:
    queries = {f"q{i}": f"query {i}" for i in range(10)}
    dev = {query_id: {"p": 1} for query_id in queries}
    collection = with_dev_split(from_dictionaries("big", {"p": "x"}, queries, {"dev": dev}), seed=0, max_queries=4)
    assert len(collection.qrels["dev"]) == 4 and collection.notes[-1].startswith("Of the 10 queries")


def test_same_text_in_train_and_dev_is_noted() -> None:
    queries = {f"q{i}": "the same words" for i in range(10)}
    collection = from_dictionaries("same", {"p": "x"}, queries, {query_id: {"p": 1} for query_id in queries})
    assert "1 of 1 queries of dev have the same text as a query of train." in with_dev_split(collection, seed=0).notes
