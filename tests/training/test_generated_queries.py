"""A run on generated queries: made once, in the collection that it trains on, counted in its report."""

from __future__ import annotations

import json

import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from tests.training.toy_run import toy_arguments, toy_trainer

CALLS = []


def first_words(passages):
    """Two queries of each passage."""
    CALLS.append(len(passages))
    return [[" ".join(passage.split()[:3]), " ".join(passage.split()[3:6])] for passage in passages]


first_words.version = "1"
HERE = f"{__name__}:first_words"
OPTIONS = {"query_generator": HERE, "num_crops": 30, "queries_per_passage": 2, "num_iterations": 1}
CHEAP = {"assistants": [], "regression_epochs": 0.0, "round_trip": 5}


def bare(toy_collection, splits=("test",)):
    """The toy with the queries of these splits only."""
    kept = {split: toy_collection.qrels[split] for split in splits}
    ids = [query for queries in kept.values() for query in queries]
    queries = {query: toy_collection.queries[query] for query in ids}
    corpus = dict(zip(toy_collection.corpus.ids, toy_collection.corpus.take(range(60))))
    return from_dictionaries("bare", corpus, queries, kept)


def test_a_collection_without_queries(toy_collection, tmp_path):
    """They are trained on, some of them are the dev split, and a run that begins again asks for none of them."""
    CALLS.clear()
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", bare(toy_collection), **CHEAP, **OPTIONS)
    asked, collection = sum(CALLS), trainer.collection
    assert asked == 15
    sizes = {split: len(queries) for split, queries in collection.qrels.items()}
    assert sizes["train"] + sizes["dev"] <= 30 and 1 <= sizes["dev"] <= 3 and sizes["test"] == 10
    assert all(query.startswith("generated:") for query in collection.qrels["train"])
    report = trainer.train()
    notes = " ".join(report["collection"]["notes"])
    assert "training queries were made from 15 passages by" in notes and "bm25 does not find" in notes
    assert report["iterations"][0]["queries"] == sizes["train"]
    again = toy_trainer(tmp_path / "out", tmp_path / "store", bare(toy_collection), **CHEAP, **OPTIONS)
    assert again.train(resume_from_checkpoint=True) == report and sum(CALLS) == asked
    with pytest.raises(InputError, match="begun"):
        other = {**CHEAP, **OPTIONS, "round_trip": 0}
        toy_trainer(tmp_path / "out", tmp_path / "store", bare(toy_collection), **other).train(True)


def test_beside_queries_of_its_own(toy_collection, tmp_path):
    """The dev split is of people's queries; nothing else of the collection changes."""
    collection = bare(toy_collection, ("train", "test"))
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", collection, round_trip=0, **OPTIONS)
    plain = toy_trainer(tmp_path / "plain", tmp_path / "store", collection, num_iterations=1)
    assert trainer.collection.qrels["dev"] == plain.collection.qrels["dev"]
    train = dict(trainer.collection.qrels["train"])
    generated = {query: train.pop(query) for query in list(train) if query.startswith("generated:")}
    assert train == plain.collection.qrels["train"] and len(generated) == 30
    assert trainer.collection.fingerprint != plain.collection.fingerprint


def test_options_of_a_generator_that_is_not_there_are_refused(tmp_path):
    for option, value in (("queries_per_passage", 2), ("round_trip", 0), ("query_generator_options", {"beams": 2})):
        with pytest.raises(InputError, match=f"{option}=.* and no query_generator"):
            toy_arguments(tmp_path, **{option: value})


def test_a_run_without_one_is_known_by_what_it_was(toy_collection, tmp_path):
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1)
    journal = trainer.distillation.journal
    known = json.loads(json.dumps(journal._record["configuration"]))
    new = (
        "query_generator",
        "query_generator_options",
        "queries_per_passage",
        "round_trip",
        "round_trip_with",
        "relabel",
    )
    assert all(known[name] is None for name in new)
