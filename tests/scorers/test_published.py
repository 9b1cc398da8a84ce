"""A folder laid out as a store, read as a scorer by its texts."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, load_scorer
from st_mta.stores import text_keys
from st_mta.types import Texts

QUERIES, PASSAGES = np.repeat(np.arange(10), 6), np.tile(np.arange(6), 10)


@pytest.fixture
def filled(store, toy_collection):
    """The store with pairs of two scorers."""
    score_pairs(BM25(store=store), toy_collection)
    store.describe("f" * 32, "other", "cross-encoder")
    keys = text_keys(toy_collection.queries)[:1], text_keys(toy_collection.corpus)[:1]
    store.scores.append("f" * 32, *keys, np.ones(1))
    return store


def score_pairs(scorer, collection):
    return scorer.score(collection.queries, collection.corpus, QUERIES, PASSAGES)


def test_the_ranking_is_that_of_the_stored_pairs(filled, toy_collection):
    stored = load_scorer(f"stored:{filled.folder}#bm25")
    found = stored.retrieve(toy_collection.queries, toy_collection.corpus, np.arange(10), 3)
    scores = score_pairs(stored, toy_collection).reshape(10, 6)
    np.testing.assert_array_equal(found.passages, np.argsort(-scores, axis=1, kind="stable")[:, :3])


def test_texts_count_and_not_ids_and_equal_texts_share_their_scores(filled, toy_collection):
    """Another collection with other ids, another order and one passage twice."""
    order = np.array([3, 1, 3])
    queries = Texts(["other"], toy_collection.queries.take([4]))
    corpus = Texts(["x", "y", "z"], toy_collection.corpus.take(order))
    stored = load_scorer(f"stored:{filled.folder}#bm25")
    scores = stored.score(queries, corpus, np.zeros(3, dtype=int), np.arange(3))
    np.testing.assert_array_equal(scores, score_pairs(stored, toy_collection).reshape(10, 6)[4, order])


def test_a_pair_that_stands_twice_has_the_smaller_score(store, toy_collection):
    query, passage = text_keys(toy_collection.queries)[:1], text_keys(toy_collection.corpus)[:1]
    for score in (2.0, 1.0):
        store.scores.append("f" * 32, query, passage, np.array([score]))
    stored = load_scorer(f"stored:{store.folder}")
    assert stored.score(toy_collection.queries, toy_collection.corpus, np.array([0]), np.array([0])) == [1.0]
    assert stored.name == "ffffffff"


def test_parts_that_are_merged_before_they_are_read_are_found_again(filled, toy_collection):
    stored = load_scorer(f"stored:{filled.folder}#bm25")
    before, (part, *_) = stored.fingerprint, stored.parts
    part.rename(part.with_name("part-merged.parquet"))
    expected = score_pairs(BM25(store=filled), toy_collection)
    np.testing.assert_array_equal(score_pairs(stored, toy_collection), expected)
    assert stored.fingerprint == before  # of what was there when it was named


def test_a_part_that_is_damaged_is_refused(filled, toy_collection):
    stored = load_scorer(f"stored:{filled.folder}#bm25")
    stored.parts[0].write_bytes(b"no Parquet")
    with pytest.raises(InputError, match="download or copy it again"):
        score_pairs(stored, toy_collection)


def test_what_cannot_be_read_back(filled, tmp_path, toy_collection):
    with pytest.raises(InputError, match="#"):
        load_scorer(f"stored:{filled.folder}")
    with pytest.raises(InputError, match="0 that fit 'bm52'"):
        load_scorer(f"stored:{filled.folder}#bm52")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds none"):
        load_scorer(f"stored:{tmp_path / 'empty'}")
    with pytest.raises(InputError, match="me/nowhere"):
        load_scorer("stored:me/nowhere")
    with pytest.raises(InputError, match="no row whose query"):
        stranger = Texts(["a"], ["stranger"])
        load_scorer(f"stored:{filled.folder}#bm25").score(stranger, stranger, np.array([0]), np.array([0]))


def test_the_fingerprint_is_that_of_the_parts(filled, toy_collection):
    before = load_scorer(f"stored:{filled.folder}#bm25").fingerprint
    assert load_scorer(f"stored:{filled.folder}#bm25").fingerprint == before
    BM25(store=filled).score(toy_collection.queries, toy_collection.corpus, np.array([30]), np.array([50]))
    assert load_scorer(f"stored:{filled.folder}#bm25").fingerprint != before


@pytest.mark.parametrize("score", [-np.inf, np.inf, np.nan])
def test_scores_that_are_not_finite_are_refused_with_their_pair(store, toy_collection, score, monkeypatch):
    monkeypatch.setattr("st_mta.stores.scores.check_finite", lambda *_: None)  # other programs write stores too
    keys = text_keys(toy_collection.queries)[[0, 3, 3]], text_keys(toy_collection.corpus)[[0, 7, 8]]
    store.scores.append("f" * 32, *keys, np.array([1.0, 2.0, score]))
    stored = load_scorer(f"stored:{store.folder}")
    with pytest.raises(InputError, match=r"inf|nan.* for query 'q3' and passage 'p8' \(1 such"):
        stored.score(toy_collection.queries, toy_collection.corpus, np.array([0]), np.array([0]))
