"""A scorer kind of the user's own: what it takes, and that everything else then works with it."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.evaluation import evaluate_scorer
from st_mta.scorers import BM25, EmbeddingScorer, PairScorer, load_scorer
from st_mta.training.serving import sharing_space
from st_mta.training.throughput import queries_per_second
from st_mta.types import Scorer


class SharedWords(PairScorer):
    """Ten lines: the number of words that query and passage share."""

    kind = "shared-words"
    fingerprint = "shared-words-1"

    def predict(self, queries, passages):
        pairs = zip(queries, passages)
        return np.asarray([len({*q.split()} & {*p.split()}) for q, p in pairs], dtype=np.float32) * 3 - 2


class Lengths(Scorer):
    """The same without a store: prefers passages as long as the query."""

    name = kind = fingerprint = "lengths"

    def score(self, queries, corpus, query_positions, passage_positions):
        texts = zip(queries.take(query_positions), corpus.take(passage_positions))
        return np.asarray([-abs(len(query) - len(passage)) for query, passage in texts], dtype=np.float32)


class Letters(EmbeddingScorer):
    """Embeddings of a service: how often each letter occurs."""

    fingerprint = "letters-1"
    dimension = 26

    def encode(self, texts, role):
        counts = [[text.count(chr(97 + letter)) for letter in range(26)] for text in texts]
        rows = np.asarray(counts, dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("kind", [lambda store: SharedWords("mine", store), lambda store: Lengths()])
def test_it_is_loaded_measured_and_re_ranks(kind, toy_collection, store):
    scorer = kind(store)
    assert load_scorer(scorer, store=store) is scorer
    _, measures = evaluate_scorer(scorer, toy_collection, "test", first_stage=BM25())
    assert 0 < measures["ndcg@10"] <= 1
    assert (scorer.can_retrieve, scorer.bounded, scorer.layers, scorer.parameters) == (False, False, None, 0)


def test_pairs_of_its_own_kind_come_from_the_store(toy_collection, store):
    evaluate_scorer(SharedWords("mine", store), toy_collection, "test", first_stage=BM25())
    again = SharedWords("mine", store)
    evaluate_scorer(again, toy_collection, "test", first_stage=BM25())
    assert again.pairs_computed == 0
    assert store.contents()[0].kind == "shared-words"


def test_embeddings_of_its_own_search_and_are_kept(toy_collection, store):
    scorer = Letters("letters", store)
    found = scorer.retrieve(toy_collection.queries, toy_collection.corpus, np.arange(5), 3)
    left, right = (
        scorer.encode(texts.take(range(len(texts))), "query")
        for texts in (toy_collection.queries, toy_collection.corpus)
    )
    expected = (left @ right.T)[:5]
    np.testing.assert_allclose(found.scores, -np.sort(-expected, axis=1)[:, :3], atol=1e-6)
    assert store.contents()[0].embeddings == 65
    assert queries_per_second([scorer], toy_collection, 10)["letters"] > 0
    assert sharing_space(scorer, [Letters("twin", store), BM25()], toy_collection)[0].name == "twin"
