"""bf16 beside fp32, for every kind of scorer: how far scores may lie apart, and how far rankings agree.

bf16 keeps 8 significant bits, so that a rounding errs by up to 0.4%; two layers of them, measured on these random
models, stay well within the tolerances below.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding

from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer, FusedScorer, LateInteractionScorer
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer


def static_model() -> SentenceTransformer:
    tokenizer = tiny_sentence_transformer().tokenizer
    weights = np.random.default_rng(0).normal(size=(len(tokenizer), 16)).astype(np.float32)
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)], device="cpu")


def fused(precision):
    parts = [
        CrossEncoderScorer(tiny_cross_encoder(), precision=precision),
        BiEncoderScorer(tiny_sentence_transformer(), precision=precision),
        LateInteractionScorer(tiny_sentence_transformer(1), precision=precision),
    ]
    return FusedScorer(parts, [1.0, 5.0, 0.5])


SCORERS = {
    "bi-encoder": lambda precision: BiEncoderScorer(tiny_sentence_transformer(), precision=precision),
    "cross-encoder": lambda precision: CrossEncoderScorer(tiny_cross_encoder(), precision=precision),
    "late-interaction": lambda precision: LateInteractionScorer(tiny_sentence_transformer(), precision=precision),
    "fusion": fused,
    "static": lambda precision: BiEncoderScorer(static_model(), precision=precision),
}
# Largest and mean difference as shares of the spread of the scores, and Kendall's tau of each query's rankings at
# least: about twice what was measured with and without bf16 instructions.
TOLERANCES = {
    "bi-encoder": (0.25, 0.05, 0.95),
    "cross-encoder": (0.2, 0.04, 0.95),
    "late-interaction": (0.15, 0.02, 0.95),
    "fusion": (0.2, 0.04, 0.95),
    "static": (0.05, 0.01, 0.985),
}


@pytest.mark.parametrize("name", SCORERS)
def test_bf16_gives_nearly_the_scores_and_rankings_of_fp32(name, queries, corpus):
    largest, mean, agreement = TOLERANCES[name]
    pairs = np.repeat(np.arange(25), 100), np.tile(np.arange(100), 25)
    exact, fast = (
        SCORERS[name](precision).score(queries, corpus, *pairs).reshape(25, 100) for precision in ("fp32", "bf16")
    )
    assert fast.dtype == np.float32 and not np.array_equal(exact, fast)
    difference = np.abs(fast - exact) / exact.std()
    assert difference.max() < largest and difference.mean() < mean
    assert min(kendalltau(*rows).statistic for rows in zip(exact, fast)) > agreement


def test_the_environment_reaches_scorers(monkeypatch):
    scorers = {}
    for word in ("fp32", "bf16"):
        monkeypatch.setenv("ST_MTA_PRECISION", word)
        scorers[word] = BiEncoderScorer(tiny_sentence_transformer())
        assert scorers[word].fingerprint == BiEncoderScorer(tiny_sentence_transformer(), precision=word).fingerprint
    assert scorers["fp32"].fingerprint != scorers["bf16"].fingerprint


def test_embeddings_computed_in_bf16_have_length_one_in_fp32(corpus):
    texts = corpus.take(np.arange(20))
    lengths = {
        precision: np.linalg.norm(
            BiEncoderScorer(tiny_sentence_transformer(), precision=precision).encode(texts, "document"), axis=1
        )
        for precision in ("fp32", "bf16")
    }
    np.testing.assert_allclose(lengths["bf16"], 1, atol=2e-7)
    np.testing.assert_allclose(lengths["fp32"], 1, atol=2e-7)
