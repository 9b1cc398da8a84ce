"""Sparse encoders: scores and rankings of the host's, found with an inverted index."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import SparseEncoder

from st_mta.errors import InputError
from st_mta.scorers import SparseScorer, load_scorer, sparse
from st_mta.stores import Store
from st_mta.types import Texts
from tests.tiny import saved, tiny_config, tiny_sentence_transformer, tiny_sparse_encoder, tiny_tokenizer

EVERY = np.arange(25)
EXACT = {"precision": "fp32"}


def full_matrix(model: SparseEncoder, queries: Texts, corpus: Texts) -> np.ndarray:
    """What the host itself gives, in float64."""
    left = model.encode_query(queries.take(EVERY), show_progress_bar=False).to_dense()
    right = model.encode_document(corpus.take(np.arange(120)), show_progress_bar=False).to_dense()
    if model.similarity_fn_name == "cosine":
        left, right = (torch.nn.functional.normalize(side) for side in (left, right))
    return (left.double() @ right.double().T).numpy()


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_scores_are_the_hosts(queries, corpus, pairs, similarity):
    model = tiny_sparse_encoder(similarity_fn_name=similarity)
    scores = SparseScorer(model, **EXACT).score(queries, corpus, *pairs)
    np.testing.assert_allclose(scores, full_matrix(model, queries, corpus)[pairs], rtol=1e-4)


def test_searches_are_the_top_of_the_full_matrix_and_ties_go_to_the_lower_position(queries, corpus):
    model = tiny_sparse_encoder()
    found = SparseScorer(model, **EXACT).retrieve(queries, corpus, EVERY, 10)
    matrix = full_matrix(model, queries, corpus)
    expected = np.argsort(-matrix.round(3), axis=1, kind="stable")[:, :10]
    np.testing.assert_array_equal(found.passages, expected)
    np.testing.assert_allclose(found.scores, np.take_along_axis(matrix, expected, axis=1), rtol=1e-4)


def test_it_is_loaded_by_class_folder_and_prefix(tmp_path, store):
    model = tiny_sparse_encoder()
    path = saved(model, tmp_path / "sparse")
    model.encode(["a cat"], show_progress_bar=False)  # a model that was used is still the same
    scorers = [load_scorer(spec, store=store, device="cpu", **EXACT) for spec in (model, path, f"sparse:{path}")]
    assert len({scorer.fingerprint for scorer in scorers}) == 1
    assert {(scorer.kind, scorer.can_retrieve, scorer.bounded, scorer.layers) for scorer in scorers} == {
        ("sparse", True, True, 2)
    }


def test_a_bare_model_with_a_head_for_masked_words_is_sparse_by_prefix_only(queries, corpus, pairs, tmp_path):
    from transformers import BertForMaskedLM

    BertForMaskedLM(tiny_config()).save_pretrained(tmp_path / "mlm")
    tiny_tokenizer().save_pretrained(tmp_path / "mlm")
    path = str(tmp_path / "mlm")
    assert load_scorer(path, device="cpu").kind == "bi-encoder"
    scorer = load_scorer(f"sparse:{path}", device="cpu", **EXACT)
    expected = full_matrix(SparseEncoder(path, device="cpu"), queries, corpus)[pairs]
    np.testing.assert_allclose(scorer.score(queries, corpus, *pairs), expected, rtol=1e-4)
    bi_encoder = saved(tiny_sentence_transformer(), tmp_path / "bi")
    with pytest.raises(InputError, match="random weights"):
        load_scorer(f"sparse:{bi_encoder}")


def test_a_search_is_made_once_and_kept(queries, corpus, tmp_path):
    first, second = (SparseScorer(tiny_sparse_encoder(), store=Store(tmp_path), **EXACT) for _ in range(2))
    found = first.retrieve(queries, corpus, EVERY, 10)
    second._search = None  # type: ignore[assignment]
    again = second.retrieve(queries, corpus, EVERY[::-1], 7)
    np.testing.assert_array_equal(again.scores, found.scores[::-1, :7])
    np.testing.assert_array_equal(again.passages, found.passages[::-1, :7])


def test_what_was_asked_before_changes_no_bit(queries, corpus, pairs, monkeypatch):
    """A run that was killed asks for other texts first than one that was not."""
    monkeypatch.setattr(sparse, "BLOCK", 16)
    one, other = (SparseScorer(tiny_sparse_encoder(), **EXACT) for _ in range(2))
    some = np.array([7, 9, 21]), np.array([3, 77, 119])
    other.score(queries, corpus, *some)
    first = one.score(queries, corpus, *pairs)
    np.testing.assert_array_equal(other.score(queries, corpus, *pairs), first)
    found = one.retrieve(queries, corpus, EVERY, 120)
    np.testing.assert_array_equal(other.retrieve(queries, corpus, EVERY[3:5], 120).scores, found.scores[3:5])
    np.testing.assert_array_equal(one.score(queries, corpus, *pairs), first)  # now from the index


def test_equal_texts_are_encoded_once_and_others_when_they_are_needed(queries, corpus, monkeypatch):
    monkeypatch.setattr(sparse, "BLOCK", 16)
    scorer, seen = SparseScorer(tiny_sparse_encoder(), **EXACT), []
    encode = scorer.encode
    monkeypatch.setattr(scorer, "encode", lambda texts, role: seen.append((len(texts), role)) or encode(texts, role))
    scorer.score(queries, corpus, np.array([0, 0]), np.array([5, 105]))  # p105 repeats p5
    assert seen == [(16, "query"), (16, "document")]
    scorer.retrieve(queries, corpus, EVERY, 3)
    for texts, role in ((corpus, "document"), (queries, "query")):
        assert sum(size for size, of in seen if of == role) == len(set(texts.column.to_pylist())) <= 100


def test_prompts_and_the_number_of_terms_count(queries, corpus, pairs):
    made = [
        SparseScorer(tiny_sparse_encoder(), **EXACT),
        SparseScorer(tiny_sparse_encoder(max_active_dims=8), **EXACT),
        SparseScorer(tiny_sparse_encoder(), prompts={"query": "what is the "}, **EXACT),
        SparseScorer(tiny_sparse_encoder(prompts={"query": "what is the "}), **EXACT),
    ]
    scores = [scorer.score(queries, corpus, *pairs) for scorer in made]
    prints = [scorer.fingerprint for scorer in made]
    assert prints[2] == prints[3] and len(set(prints)) == 3
    np.testing.assert_array_equal(scores[2], scores[3])
    assert all(not np.allclose(scores[0], other, atol=1e-3) for other in scores[1:])
    kept = made[1].encode(corpus.take([0, 1]), "document")
    assert np.diff(kept.indptr).tolist() == [8, 8]


def test_batches_keep_to_a_budget_of_terms(monkeypatch):
    monkeypatch.setitem(sparse.LOGITS_AT_ONCE, "cpu", 40 * len(tiny_tokenizer()))
    assert SparseScorer(tiny_sparse_encoder(), **EXACT).tokens_per_batch == 40
    assert SparseScorer(tiny_sparse_encoder(), tokens_per_batch=7, **EXACT).tokens_per_batch == 7


def test_no_texts_have_no_weights():
    scorer = SparseScorer(tiny_sparse_encoder(), **EXACT)
    assert scorer.encode([], "query").shape == (0, scorer.dimension)
    assert scorer.predict([], []).shape == (0,)


def test_bf16_scores_are_near(queries, corpus, pairs):
    exact, rounded = (
        SparseScorer(tiny_sparse_encoder(), precision=word).score(queries, corpus, *pairs) for word in ("fp32", "bf16")
    )
    np.testing.assert_allclose(rounded, exact, rtol=0.05)
    assert not np.array_equal(rounded, exact)


def test_distances_are_refused():
    with pytest.raises(InputError, match="euclidean"):
        SparseScorer(tiny_sparse_encoder(similarity_fn_name="euclidean"))


def test_a_hand_worked_score():
    """1.5 * 2 + 0.5 * 4 over the terms in common; the second passage shares none and is not found."""
    import scipy.sparse as sp

    from st_mta.scorers.inverted import InvertedIndex

    corpus = sp.csc_matrix(np.float32([[2, 0, 4, 0], [0, 3, 0, 0], [2, 0, 4, 9]]))
    query = sp.csr_matrix(np.float64([[1.5, 0, 0.5, 0]]))
    scores, passages = InvertedIndex(corpus).search(query, 3, "")
    assert scores.tolist() == [[5, 5, -np.inf]] and passages.tolist() == [[0, 2, -1]]
    found = InvertedIndex(corpus).score(query, np.array([0, 0]), np.array([2, 1]))
    assert found.tolist() == [5, 0]
