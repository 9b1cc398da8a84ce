from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from st_mta.scorers import LateInteractionScorer
from st_mta.scorers import late_interaction as module
from st_mta.scorers.late_interaction import distinct_texts, token_by_token
from tests.tiny import saved, tiny_sentence_transformer

exact_scorer = partial(LateInteractionScorer, precision="fp32")


def max_sim_by_hand(model, query: str, passage: str) -> float:
    """The sum over query tokens of the largest cosine to a passage token, in plain loops."""
    left = model.encode([query], output_value="token_embeddings")[0].double()
    right = model.encode([passage], output_value="token_embeddings")[0].double()
    total = 0.0
    for token in left:
        total += max(float(torch.cosine_similarity(token, other, dim=0)) for other in right)
    return total


def test_scores_are_sums_of_largest_token_similarities(queries, corpus, pairs):
    model = tiny_sentence_transformer()
    scores = exact_scorer(model, tokens_per_batch=64).score(queries, corpus, *pairs)
    for place in range(0, 200, 20):
        query, passage = queries.take([pairs[0][place]])[0], corpus.take([pairs[1][place]])[0]
        assert scores[place] == pytest.approx(max_sim_by_hand(model, query, passage), abs=1e-4)


def test_blocks_of_passages_do_not_change_scores(queries, corpus, pairs, monkeypatch):
    scorer = exact_scorer(tiny_sentence_transformer())
    whole = scorer.score(queries, corpus, *pairs)
    monkeypatch.setattr(module, "TOKENS_HELD", 40)
    np.testing.assert_allclose(scorer.score(queries, corpus, *pairs), whole, atol=1e-4)


def test_texts_of_a_part_are_encoded_once(queries, corpus, pairs, monkeypatch):
    scorer = exact_scorer(tiny_sentence_transformer())
    encoded = []
    encode = scorer._encode
    monkeypatch.setattr(scorer, "_encode", lambda method, texts: encoded.extend(texts) or encode(method, texts))
    scorer.score(queries, corpus, *pairs)
    assert len(encoded) == len(set(queries.take(pairs[0]))) + len(set(corpus.take(pairs[1])))


@pytest.mark.parametrize("held", [0, 2**18])
def test_parts_share_the_vectors_of_queries(queries, corpus, pairs, monkeypatch, held):
    monkeypatch.setattr(module, "QUERY_TOKENS_HELD", held)
    scorer = exact_scorer(tiny_sentence_transformer(), part_size=20)
    asked, encode = [], scorer._encode

    def note(method, texts):
        asked.extend(texts if method.__name__ == "encode_query" else [])
        return encode(method, texts)

    monkeypatch.setattr(scorer, "_encode", note)
    scores = scorer.score(queries, corpus, *pairs)
    assert (len(asked) == len(set(asked))) == (held > 0)
    np.testing.assert_allclose(
        scores, exact_scorer(tiny_sentence_transformer()).score(queries, corpus, *pairs), atol=1e-4
    )


def test_a_multi_vector_model_is_used_as_it_is(queries, corpus, pairs, tmp_path):
    model = token_by_token(tiny_sentence_transformer())
    path = saved(model, tmp_path)
    expected = exact_scorer(tiny_sentence_transformer()).score(queries, corpus, *pairs)
    for given in (model, path):
        np.testing.assert_allclose(exact_scorer(given).score(queries, corpus, *pairs), expected, atol=1e-5)


def test_a_saved_bi_encoder_gets_no_random_projection(queries, corpus, pairs, tmp_path):
    model = tiny_sentence_transformer()
    scores = exact_scorer(saved(model, tmp_path), device="cpu").score(queries, corpus, *pairs)
    np.testing.assert_allclose(scores, exact_scorer(model).score(queries, corpus, *pairs), atol=1e-5)


def test_the_prompts_of_a_bi_encoder_are_kept(queries, corpus, pairs):
    plain = exact_scorer(tiny_sentence_transformer())
    prompted = exact_scorer(tiny_sentence_transformer(prompts={"query": "what is "}))
    assert prompted.fingerprint != plain.fingerprint
    assert not np.allclose(prompted.score(queries, corpus, *pairs), plain.score(queries, corpus, *pairs))


def test_distinct_texts():
    assert distinct_texts(["b", "a", "b", ""])[0] == ["b", "a", ""]
    assert distinct_texts(["b", "a", "b", ""])[1].tolist() == [0, 1, 0, 2]


def test_token_vectors_in_bf16_have_length_one_in_fp32():
    scorer = LateInteractionScorer(tiny_sentence_transformer(), precision="bf16")
    exact = LateInteractionScorer(tiny_sentence_transformer(), precision="fp32")
    vectors = scorer._encode(scorer._frozen.model.encode_document, ["the cat eats", "a dog"])
    assert all(each.dtype == torch.float32 for each in vectors)
    assert all(torch.allclose(each.norm(dim=-1), torch.ones(len(each)), atol=1e-6) for each in vectors)
    assert scorer.fingerprint != exact.fingerprint
