"""Bi-encoders side by side, and through a map."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.procrustes import fit_procrustes
from st_mta.scorers import BiEncoderScorer
from st_mta.scorers.joined import JoinedScorer, join
from tests.reference import joined_similarity
from tests.tiny import tiny_sentence_transformer


@pytest.fixture(scope="module")
def narrow():
    return BiEncoderScorer(tiny_sentence_transformer(1), name="narrow", precision="fp32")


@pytest.fixture(scope="module")
def wide():
    return BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="wide", precision="fp32")


def embeddings(scorer, collection, role="document"):
    texts = collection.corpus if role == "document" else collection.queries
    return scorer.embed(texts, role, np.arange(len(texts))).rows(slice(None))


def test_by_hand():
    rows = join([np.array([[3.0, 4.0]]), np.array([[0.0, 2.0]])], [9, 16], None)
    assert np.allclose(rows, [[0.36, 0.48, 0.0, 0.8]])


def test_the_similarity_is_the_weighted_sum_of_cosines(narrow, wide, toy_collection):
    joined = JoinedScorer([narrow, wide], [1, 3])
    assert (joined.dimension, joined.name, joined.similarity) == (80, "narrow+wide", "cosine")
    queries, passages = np.array([0, 1, 2]), np.array([4, 5, 6])
    found = joined.score(toy_collection.queries, toy_collection.corpus, queries, passages)
    parts = [
        (embeddings(one, toy_collection, "query")[queries], embeddings(one, toy_collection)[passages])
        for one in (narrow, wide)
    ]
    assert np.allclose(found, joined_similarity(parts, [0.25, 0.75]), atol=1e-6)


def test_searching_equals_comparing_with_every_passage(narrow, wide, toy_collection):
    joined = JoinedScorer([narrow, wide], [2, 1])
    found = joined.retrieve(toy_collection.queries, toy_collection.corpus, np.arange(8), 5)
    every = embeddings(joined, toy_collection, "query")[:8] @ embeddings(joined, toy_collection).T
    assert np.array_equal(found.passages, np.argsort(-every, axis=1, kind="stable")[:, :5])


def test_encoding_now_equals_what_is_stored(narrow, wide, toy_collection):
    matrix = fit_procrustes(embeddings(wide, toy_collection), embeddings(narrow, toy_collection))
    mapped = JoinedScorer([wide], None, matrix)
    texts = toy_collection.corpus.take(range(10))
    assert np.allclose(mapped.encode(texts, "document"), embeddings(mapped, toy_collection)[:10], atol=1e-5)
    assert mapped.dimension == 32


def test_rows_at_places_and_in_a_sweep_are_the_same(narrow, wide, toy_collection):
    joined = JoinedScorer([narrow, wide], [1, 1])
    found = joined.embed(toy_collection.corpus, "document", np.arange(len(toy_collection.corpus)))
    whole = found.rows(slice(None))
    places = np.array([7, 3, 3, 11])
    assert np.allclose(found.at(places).rows(slice(None)), whole[places], atol=1e-6)
    seen = np.zeros_like(whole)
    for where, rows in found.sweep(16):
        seen[where] = rows
    assert np.allclose(seen, whole, atol=1e-6)


def test_a_bi_encoder_given_twice_is_itself(narrow, toy_collection):
    twice = JoinedScorer([narrow, narrow], [1, 1])
    once, doubled = embeddings(narrow, toy_collection), embeddings(twice, toy_collection)
    assert np.abs(once @ once.T - doubled @ doubled.T).max() < 1e-6
    mapped = doubled @ fit_procrustes(doubled, once)
    assert np.abs(mapped - once).max() < 1e-6


def test_the_fingerprint_knows_parts_weights_and_map(narrow, wide):
    matrix = np.eye(80, 32, dtype=np.float32)
    scorers = [
        JoinedScorer([narrow, wide], [1, 1]),
        JoinedScorer([narrow, wide], [1, 2]),
        JoinedScorer([wide, narrow], [1, 1]),
        JoinedScorer([narrow, wide], [1, 1], matrix),
        JoinedScorer([narrow, wide], [1, 1], 2 * matrix),
    ]
    assert len({scorer.fingerprint for scorer in scorers}) == len(scorers)


def test_what_does_not_fit_is_refused(narrow, wide):
    for parts, weights, matrix in (
        ([], [], None),
        ([narrow, wide], None, None),
        ([narrow, wide], [1, 0], None),
        ([narrow], [1, 1], None),
        ([narrow, wide], [1, 1], np.eye(32, dtype=np.float32)),
    ):
        with pytest.raises(InputError):
            JoinedScorer(parts, weights, matrix)


def test_what_a_map_cuts_off_shortens_nothing():
    rows = join([np.array([[3.0, 4.0], [0.0, 2.0]])], None, np.array([[1.0], [1.0]]))
    assert np.allclose(rows, [[5.0], [2.0]])
    assert np.allclose(join([np.array([[3.0, 4.0]]), np.array([[1.0]])], [1, 1], np.eye(3)[:, :1]), [[1.0]])
