"""The longest input of a model: without a limit, beyond its positions, and too short for a text."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding, Transformer
from transformers import RobertaConfig, RobertaModel, T5Config, T5EncoderModel

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer
from st_mta.scorers.lengths import limit_length, longest_input, usable_length
from st_mta.types import Texts
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer, tiny_tokenizer

LONG = " ".join(["cat", "dog", "sea"] * 60)
TEXTS = Texts.from_dict({"a": "the cat", "b": LONG})
BOTH = np.arange(2)
SCORERS = {
    "bi-encoder": (BiEncoderScorer, tiny_sentence_transformer),
    "cross-encoder": (CrossEncoderScorer, tiny_cross_encoder),
    "late interaction": (LateInteractionScorer, tiny_sentence_transformer),
}


def made(backbone, folder, **tokenizer):
    backbone.save_pretrained(folder)
    tiny_tokenizer(**tokenizer).save_pretrained(folder)
    return SentenceTransformer(modules=[Transformer(str(folder)), Pooling(16, pooling_mode="mean")], device="cpu")


def endless(folder):
    config = T5Config(vocab_size=210, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    return made(T5EncoderModel(config), folder, model_max_length=10**30)


def roberta(folder):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1}
    return made(
        RobertaModel(RobertaConfig(vocab_size=210, max_position_embeddings=34, pad_token_id=1, **sizes)), folder
    )


@pytest.mark.parametrize("kind", [BiEncoderScorer, LateInteractionScorer])
def test_a_model_without_a_limit_reads_all(tmp_path, kind):
    model = endless(tmp_path)
    assert model.max_seq_length > 2**63 and longest_input(model) is None
    assert np.isfinite(kind(model, precision="fp32").score(TEXTS, TEXTS, BOTH, BOTH)).all()


@pytest.mark.parametrize("kind", SCORERS)
@pytest.mark.parametrize("max_length", [None, 1000])
def test_no_more_is_read_than_there_are_positions(caplog, kind, max_length):
    scorer, make = SCORERS[kind]
    model = make(1)
    expected = scorer(make(1), precision="fp32").score(TEXTS, TEXTS, BOTH, BOTH)
    if max_length is None:
        model.max_seq_length = 10**30  # as a tokenizer without a limit says
    got = scorer(model, name="long", precision="fp32", max_length=max_length).score(TEXTS, TEXTS, BOTH, BOTH)
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert ("long reads 64 tokens at most" in caplog.text) == (max_length is not None)


def test_rows_kept_for_padding_are_no_positions(tmp_path):
    model = roberta(tmp_path)
    assert usable_length(model, 1000, "m") == longest_input(model) == 32
    limit_length(model, 1000)
    assert model.max_seq_length == 32 and np.isfinite(model.encode([LONG])).all()


def test_static_embeddings_have_no_limit_to_set():
    model = SentenceTransformer(modules=[StaticEmbedding(tiny_tokenizer().backend_tokenizer, embedding_dim=8)])
    limit_length(model, usable_length(model, 2, "static"))
    assert math.isinf(model.max_seq_length) and longest_input(model) is None
    with pytest.raises(InputError, match="at least 1 token"):
        usable_length(model, 0, "static")


@pytest.mark.parametrize("kind", SCORERS)
@pytest.mark.parametrize("max_length", [-1, 0, 1, 2])
def test_a_length_that_leaves_nothing_of_a_text_is_refused(kind, max_length):
    scorer, make = SCORERS[kind]
    with pytest.raises(InputError, match=r"max_length of at least 3 tokens.*got -?\d.*special tokens of short"):
        scorer(make(1), name="short", max_length=max_length)


def test_a_length_of_one_word_is_kept():
    scorer = BiEncoderScorer(tiny_sentence_transformer(1), precision="fp32", max_length=3)
    assert scorer.model.max_seq_length == 3
