"""What every kind of scorer promises, run on each of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers import BM25, KINDS, FunctionScorer, load_scorer
from st_mta.stores import Store
from tests.tiny import (
    saved,
    tiny_cross_encoder,
    tiny_language_model_reranker,
    tiny_sentence_transformer,
    tiny_sparse_encoder,
)

MODELS = {
    "bi-encoder": tiny_sentence_transformer,
    "cross-encoder": tiny_cross_encoder,
    "late-interaction": tiny_sentence_transformer,
    "sparse": tiny_sparse_encoder,
    "lm-reranker": tiny_language_model_reranker,
}


def words_in_common(queries, passages):
    return [
        len({*query.split()} & {*passage.split()}) - 0.25 * len(query) for query, passage in zip(queries, passages)
    ]


def scorer_of(kind, **options):
    """What a kind promises exactly it promises in fp32; bf16 has tests of its own (test_bf16.py)."""
    return KINDS[kind](MODELS[kind](), **{"precision": "fp32", **options})


MAKERS = {
    **{kind: lambda kind=kind, **options: scorer_of(kind, **options) for kind in KINDS},
    "bm25": BM25,
    "function": lambda **options: FunctionScorer(words_in_common, **options),
}


@pytest.fixture(params=MAKERS)
def make(request):
    return MAKERS[request.param]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_every_kind_has_a_model_here():
    assert set(MODELS) == set(KINDS)


def test_scores_are_finite_float32_one_per_pair(make, queries, corpus, pairs):
    scores = make().score(queries, corpus, *pairs)
    assert scores.shape == (200,) and scores.dtype == np.float32
    assert np.isfinite(scores).all() and scores.std() > 0


def test_scores_do_not_depend_on_the_order_or_company_of_pairs(make, queries, corpus, pairs):
    scorer = make()
    scores = scorer.score(queries, corpus, *pairs)
    order = np.random.default_rng(3).permutation(200)[:50]
    some = scorer.score(queries, corpus, pairs[0][order], pairs[1][order])
    np.testing.assert_allclose(some, scores[order], atol=2e-5)


def test_the_same_pair_has_the_same_score(make, queries, corpus, store):
    scores = make(store=store).score(queries, corpus, np.array([3, 3, 3]), np.array([5, 105, 5]))  # p105 repeats p5
    assert scores[0] == scores[1] == scores[2]


def test_a_kind_says_what_others_ask(make):
    scorer = make()
    assert scorer.timed and scorer.pairs_per_second is None
    assert scorer.bounded == (scorer.kind not in ("cross-encoder", "function"))
    assert scorer.layers == (None if scorer.kind in ("bm25", "function") else 2)


def test_a_scorer_that_searches_answers_and_another_counts_what_it_computes(make, queries, corpus, pairs):
    scorer = make()
    answer = scorer.answer(queries, corpus, 10)
    assert (answer is not None) == scorer.can_retrieve
    if answer is None:
        scorer.score(queries, corpus, *pairs)
        assert scorer.pairs_computed > 100 and scorer.pairs_per_second > 0
    else:
        answer(np.arange(5))


def test_a_second_run_computes_nothing(make, queries, corpus, pairs, tmp_path):
    first, second = Store(tmp_path), Store(tmp_path)
    scores = make(store=first).score(queries, corpus, *pairs)
    np.testing.assert_array_equal(make(store=second).score(queries, corpus, *pairs), scores)
    computed = first.ledger.as_dict()
    repeated = second.ledger.as_dict()
    for noun in ("pairs_scored", "passages_encoded", "queries_encoded"):
        assert repeated[noun] == 0
    assert any(computed[noun] > 0 for noun in ("pairs_scored", "passages_encoded"))


def test_no_pairs_give_no_scores(make, queries, corpus):
    nothing = np.zeros(0, dtype=np.int64)
    assert make().score(queries, corpus, nothing, nothing).shape == (0,)


def test_the_store_knows_the_scorers_name_and_kind(make, queries, corpus, pairs, store):
    scorer = make(store=store, name="somebody")
    scorer.score(queries, corpus, *pairs)
    (entry,) = store.contents()
    assert (entry.name, entry.kind) == ("somebody", scorer.kind)
    assert entry.pairs + entry.embeddings > 0


def test_a_scorer_that_retrieves_finds_its_own_best_scores(make, queries, corpus):
    scorer = make()
    if not scorer.can_retrieve:
        with pytest.raises(NotImplementedError, match="re-ranks only"):
            scorer.retrieve(queries, corpus, np.arange(25), 10)
        return
    everything = scorer.score(queries, corpus, np.repeat(np.arange(25), 120), np.tile(np.arange(120), 25))
    everything = everything.reshape(25, 120)
    found = scorer.retrieve(queries, corpus, np.arange(25), 10)
    expected = np.argsort(-everything, axis=1, kind="stable")[:, :10]
    kept = found.passages >= 0
    np.testing.assert_array_equal(found.passages[kept], expected[kept])
    np.testing.assert_array_equal(found.scores[kept], np.take_along_axis(everything, expected, axis=1)[kept])


def test_the_fingerprint_tells_models_apart_and_outlives_saving(kind, tmp_path):
    path = saved(MODELS[kind](), tmp_path / "model")
    scorer = scorer_of(kind)
    assert KINDS[kind](path, device="cpu", precision="fp32").fingerprint == scorer.fingerprint
    assert KINDS[kind](MODELS[kind](seed=1), precision="fp32").fingerprint != scorer.fingerprint
    assert scorer_of(kind, max_length=16).fingerprint != scorer.fingerprint
    assert scorer_of(kind, precision="bf16").fingerprint != scorer.fingerprint
    assert scorer_of(kind, tokens_per_batch=64).fingerprint == scorer.fingerprint


def test_kinds_of_the_same_weights_do_not_share_a_fingerprint():
    model = tiny_sentence_transformer()
    assert KINDS["bi-encoder"](model).fingerprint != KINDS["late-interaction"](model).fingerprint


@pytest.mark.parametrize(
    "options", [{"precision": "fp32"}, {"precision": "fp32", "max_length": 8}, {"precision": "bf16"}]
)
def test_the_users_model_is_not_modified(kind, queries, corpus, pairs, options):
    model = MODELS[kind]()
    model.train()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    length = model.max_seq_length
    KINDS[kind](model, **options).score(queries, corpus, *pairs)
    assert model.training and model[0].training
    assert model.max_seq_length == length
    for name, weight in model.state_dict().items():
        assert weight.dtype == before[name].dtype and torch.equal(weight, before[name])
    assert all(weight.requires_grad for weight in model.parameters())


def test_the_maximum_length_cuts_texts(kind, queries, corpus, pairs):
    whole = KINDS[kind](MODELS[kind]()).score(queries, corpus, *pairs)
    cut = KINDS[kind](MODELS[kind](), max_length=5).score(queries, corpus, *pairs)
    assert not np.allclose(whole, cut)


def test_weights_changed_after_wrapping_are_noticed(kind, queries, corpus, pairs, store):
    model = MODELS[kind]()
    scorer = KINDS[kind](model, store=store, precision="fp32")
    before, old = scorer.score(queries, corpus, *pairs), scorer.fingerprint
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(0.8)
    assert scorer.fingerprint != old
    after = scorer.score(queries, corpus, *pairs)
    assert not np.allclose(before, after)
    np.testing.assert_allclose(after, KINDS[kind](model, precision="fp32").score(queries, corpus, *pairs), atol=1e-5)


def test_weights_changed_after_wrapping_are_noticed_in_bf16_too(kind, queries, corpus, pairs):
    model = MODELS[kind]()
    scorer = KINDS[kind](model, precision="bf16")
    before = scorer.score(queries, corpus, *pairs)
    model.load_state_dict(MODELS[kind](seed=1).state_dict())
    assert not np.allclose(scorer.score(queries, corpus, *pairs), before, atol=1e-2)


@pytest.mark.parametrize("length", [0, -1])
def test_a_senseless_maximum_length_is_refused(kind, length):
    with pytest.raises(InputError, match="max_length"):
        KINDS[kind](MODELS[kind](), max_length=length)


def test_scores_that_are_not_finite_are_refused_with_names(kind, queries, corpus, pairs, store):
    model = MODELS[kind]()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="not finite|NaN"):
        KINDS[kind](model, store=store).score(queries, corpus, *pairs)
    assert all(entry.pairs + entry.embeddings == 0 for entry in store.contents())


def test_load_scorer_wraps_models_by_their_class(kind, store):
    model = MODELS[kind]()
    if kind == "late-interaction":
        from st_mta.scorers.late_interaction import token_by_token

        model = token_by_token(model)
    scorer = load_scorer(model, store=store, name="me")
    assert (scorer.kind, scorer.name) == ("cross-encoder" if kind == "lm-reranker" else kind, "me")
    assert scorer.parameters == sum(weight.numel() for weight in model.parameters())
    assert (isinstance(model, CrossEncoder)) == (scorer.kind == "cross-encoder")
