"""A user's prompts by role, instead of those that a model was saved with."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, load_scorer
from st_mta.scorers.late_interaction import token_by_token
from tests.tiny import saved, tiny_cross_encoder, tiny_decoder_bi_encoder, tiny_sentence_transformer

PROMPTS = {"query": "what is the ", "document": "the big "}
EXACT = {"precision": "fp32"}


@pytest.mark.parametrize("kind", [BiEncoderScorer, LateInteractionScorer])
def test_they_count_as_if_the_model_had_been_saved_with_them(kind, queries, corpus, pairs):
    plain, given, own = (
        kind(tiny_sentence_transformer(prompts=prompts), prompts=now, **EXACT)
        for prompts, now in ((None, None), ({"query": "which "}, PROMPTS), (PROMPTS, None))
    )
    scores = [scorer.score(queries, corpus, *pairs) for scorer in (plain, given, own)]
    np.testing.assert_array_equal(scores[1], scores[2])
    assert not np.allclose(scores[0], scores[1], atol=1e-3)
    assert given.fingerprint == own.fingerprint != plain.fingerprint


def test_an_empty_prompt_switches_one_off_and_others_stay(queries, corpus, pairs):
    model = tiny_sentence_transformer(prompts=PROMPTS)
    off = BiEncoderScorer(model, prompts={"query": ""}, **EXACT)
    saved_so = BiEncoderScorer(tiny_sentence_transformer(prompts={"document": PROMPTS["document"]}), **EXACT)
    assert off.fingerprint == saved_so.fingerprint
    np.testing.assert_array_equal(off.score(queries, corpus, *pairs), saved_so.score(queries, corpus, *pairs))
    assert model.prompts == PROMPTS  # the user's model stays as it is


@pytest.mark.parametrize("text", ["the big ", ""])
def test_other_names_of_the_same_role_do_not_outlive_it(corpus, text):
    model = tiny_sentence_transformer(prompts={"passage": "the old "})
    given = BiEncoderScorer(model, prompts={"document": text}, **EXACT)
    expected = BiEncoderScorer(tiny_sentence_transformer(prompts={"document": text}), **EXACT)
    texts = corpus.take(np.arange(9))
    np.testing.assert_array_equal(given.encode(texts, "document"), expected.encode(texts, "document"))
    assert given.fingerprint == expected.fingerprint != BiEncoderScorer(model, **EXACT).fingerprint


def test_a_cross_encoders_prompt_stands_before_the_query(queries, corpus, pairs):
    given = CrossEncoderScorer(tiny_cross_encoder(), prompts={"query": "what is the "}, **EXACT)
    plain = CrossEncoderScorer(tiny_cross_encoder(), **EXACT)
    texts, passages = queries.take(pairs[0]), corpus.take(pairs[1])
    longer = [f"what is the {text}" for text in texts]
    np.testing.assert_allclose(given.predict(texts, passages), plain.predict(longer, passages), atol=1e-5)
    assert given.fingerprint != plain.fingerprint


def test_a_mapping_names_a_model_with_options_of_its_own(tmp_path, store):
    path = saved(tiny_sentence_transformer(), tmp_path / "model")
    scorer = load_scorer({"model": path, "prompts": PROMPTS, "name": "told"}, store=store, device="cpu", **EXACT)
    assert (scorer.name, scorer.store) == ("told", store)
    assert scorer.fingerprint == BiEncoderScorer(tiny_sentence_transformer(prompts=PROMPTS), **EXACT).fingerprint
    assert load_scorer({"model": "bm25"}, store=store).kind == "bm25"
    for wrong, message in (({"prompts": PROMPTS}, "without a model"), ({"model": path, "promts": {}}, "promts")):
        with pytest.raises(InputError, match=message):
            load_scorer(wrong, store=store, device="cpu")


@pytest.mark.parametrize("prompts", ["query: ", {"question": "x"}, {"query": None}])
def test_other_than_texts_by_role_are_refused(prompts):
    with pytest.raises(InputError, match="query and document"):
        BiEncoderScorer(tiny_sentence_transformer(), prompts=prompts)


def test_late_interaction_models_take_them_too(queries, corpus, pairs):
    model = token_by_token(tiny_sentence_transformer())
    given = LateInteractionScorer(model, prompts=PROMPTS, **EXACT)
    expected = LateInteractionScorer(tiny_sentence_transformer(prompts=PROMPTS), **EXACT)
    np.testing.assert_array_equal(given.score(queries, corpus, *pairs), expected.score(queries, corpus, *pairs))


def test_a_causal_bi_encoder_reads_its_last_token_with_and_without_padding(queries, corpus, pairs):
    model = tiny_decoder_bi_encoder(prompts={"query": "what is the "})
    scorer = BiEncoderScorer(model, **EXACT)
    left = model.encode_query(queries.take(pairs[0]), batch_size=32)
    right = model.encode_document(corpus.take(pairs[1]), batch_size=1)
    assert scorer._frozen.packs
    np.testing.assert_allclose(scorer.score(queries, corpus, *pairs), (left * right).sum(axis=1), atol=1e-5)
