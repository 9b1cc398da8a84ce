from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BiEncoderScorer
from st_mta.scorers.compressed import ServedScorer, compress, mean_cosine
from st_mta.stores.embeddings import Embeddings
from tests.tiny import tiny_sentence_transformer

EVERY = np.arange(25)


def embeddings(rows: np.ndarray) -> Embeddings:
    """The rows in two blocks, the later half first."""
    half, place = len(rows) // 2, np.arange(len(rows))
    return Embeddings((rows[half:], rows[:half]), (place < half).astype(np.int64), place - half * (place >= half))


def random_rows(count: int = 60, dimension: int = 32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, dimension)).astype(np.float32)


def test_nothing_changes_without_compression():
    rows = random_rows()
    np.testing.assert_array_equal(compress(embeddings(rows), 32, "float32", normalise=True).rows(slice(None)), rows)


def test_a_cut_vector_has_length_one_again_only_where_asked_for():
    rows = random_rows()
    np.testing.assert_array_equal(
        compress(embeddings(rows), 8, "float32", normalise=False).rows(slice(None)), rows[:, :8]
    )
    cut = compress(embeddings(rows), 8, "float32", normalise=True).rows(np.array([3, 40]))
    np.testing.assert_allclose(cut, rows[[3, 40], :8] / np.linalg.norm(rows[[3, 40], :8], axis=1)[:, None], rtol=1e-6)


def test_int8_is_off_by_at_most_one_step():
    rows = random_rows()
    decoded = compress(embeddings(rows), 32, "int8", normalise=True).rows(slice(None))
    step = (rows.max(axis=0) - rows.min(axis=0)) / 255
    assert (np.abs(decoded - rows) <= step * 1.001).all()
    assert (decoded != rows).any()


def test_binary_keeps_the_signs():
    rows = random_rows(dimension=20)
    decoded = compress(embeddings(rows), 20, "binary", normalise=True).rows(slice(None))
    np.testing.assert_array_equal(decoded, np.where(rows > 0, 1.0, -1.0))


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_a_sweep_sees_the_same_rows(precision):
    compressed = compress(embeddings(random_rows()), 16, precision, normalise=True)
    seen = np.full((60, 16), np.nan, dtype=np.float32)
    for places, rows in compressed.sweep(7):
        seen[places] = rows
    np.testing.assert_allclose(seen, compressed.rows(slice(None)), rtol=1e-6)


@pytest.mark.parametrize(("kept", "precision"), [(33, "int8"), (0, "int8"), (8, "int4")])
def test_an_index_that_does_not_exist(kept, precision):
    with pytest.raises(InputError, match="1 to 32 dimensions"):
        compress(embeddings(random_rows()), kept, precision, normalise=True)


def test_uncompressed_it_is_the_bi_encoder(queries, corpus, pairs):
    scorer = BiEncoderScorer(tiny_sentence_transformer())
    served = ServedScorer(scorer, scorer)
    own, found = (each.retrieve(queries, corpus, EVERY, 10) for each in (scorer, served))
    np.testing.assert_array_equal(found.passages, own.passages)
    np.testing.assert_allclose(served.score(queries, corpus, *pairs), scorer.score(queries, corpus, *pairs), atol=1e-6)


def test_retrieve_agrees_with_score_in_every_form(queries, corpus):
    first, second = (BiEncoderScorer(tiny_sentence_transformer(seed), name=str(seed)) for seed in (0, 1))
    served = ServedScorer(first, second, kept=16, precision="int8")
    found = served.retrieve(queries, corpus, EVERY, 120)
    scores = served.score(queries, corpus, np.repeat(EVERY, 120), found.passages.ravel()).reshape(25, 120)
    np.testing.assert_allclose(found.scores, scores, atol=1e-6)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert served.bytes_per_passage == 16


def test_a_space_agrees_with_itself_only(corpus):
    first, second = (BiEncoderScorer(tiny_sentence_transformer(seed), name=str(seed)) for seed in (0, 1))
    assert mean_cosine(first, first, corpus, np.arange(50)) == pytest.approx(1.0)
    assert mean_cosine(first, second, corpus, np.arange(50)) < 0.5


def test_queries_and_passages_are_encoded_by_their_own_models(queries, corpus, pairs):
    first, second = (BiEncoderScorer(tiny_sentence_transformer(seed), name=str(seed)) for seed in (0, 1))
    left, right = first.embed(queries, "query", pairs[0]), second.embed(corpus, "document", pairs[1])
    products = np.einsum("pd,pd->p", left.rows(slice(None)), right.rows(slice(None)))
    np.testing.assert_allclose(ServedScorer(first, second).score(queries, corpus, *pairs), products, atol=1e-6)
