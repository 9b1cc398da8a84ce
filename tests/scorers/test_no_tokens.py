"""Texts without a single token: models without special tokens, and those that skip marks."""

from __future__ import annotations

import tempfile

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, StaticEmbedding, Transformer
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BertModel, PreTrainedTokenizerFast

from st_mta.scorers import BiEncoderScorer, LateInteractionScorer
from st_mta.types import Texts
from tests.tiny import WORDS, tiny_config, tiny_sentence_transformer

QUERIES = Texts(["a", "e"], ["cat dog", ""])
CORPUS = Texts(["x", "e", "y", "f"], ["dog fish", "", "sea", " \n"])
PAIRS = np.repeat(np.arange(2), 4), np.tile(np.arange(4), 2)


def plain_tokenizer() -> Tokenizer:
    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", *WORDS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def without_special_tokens(pooling: str) -> SentenceTransformer:
    with tempfile.TemporaryDirectory() as folder:
        BertModel(tiny_config()).save_pretrained(folder)
        names = {"unk_token": "[UNK]", "pad_token": "[PAD]", "model_max_length": 64}
        PreTrainedTokenizerFast(tokenizer_object=plain_tokenizer(), **names).save_pretrained(folder)
        return SentenceTransformer(modules=[Transformer(folder), Pooling(32, pooling), Normalize()], device="cpu")


def static() -> SentenceTransformer:
    modules = [StaticEmbedding(plain_tokenizer(), embedding_dim=32), Normalize()]
    return SentenceTransformer(modules=modules, device="cpu")


@pytest.mark.parametrize("pooling", ["mean", "max", "lasttoken", "static"])
@pytest.mark.parametrize("corpus", [CORPUS, Texts(["e", "f"], ["", " "])], ids=["some", "all"])
def test_a_text_without_tokens_is_like_nothing(pooling, corpus):
    scorer = BiEncoderScorer(static() if pooling == "static" else without_special_tokens(pooling), precision="fp32")
    scores = scorer.score(QUERIES, corpus, np.repeat(np.arange(2), len(corpus)), np.tile(np.arange(len(corpus)), 2))
    empty = [not text.strip() for text in corpus.take(range(len(corpus)))]
    assert (scores.reshape(2, -1)[0] == 0).tolist() == empty and not scores.reshape(2, -1)[1].any()


def test_special_tokens_are_tokens():
    scorer = BiEncoderScorer(tiny_sentence_transformer(), precision="fp32")
    assert scorer.score(QUERIES, CORPUS, *PAIRS).all()


def test_late_interaction_with_nothing_scores_zero():
    scorer = LateInteractionScorer(without_special_tokens("mean"), precision="fp32")
    scores = scorer.score(QUERIES, CORPUS, *PAIRS)
    assert (scores == 0).tolist() == [False, True, False, True, True, True, True, True]
    assert np.abs(scores).max() < 10
