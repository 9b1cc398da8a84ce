"""Positions that are none are refused by every kind of scorer, before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, FusedScorer, StoredScores
from st_mta.types import Texts
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

QUERIES = Texts(["a", "b"], ["cat dog", "fish"])
CORPUS = Texts(["x", "y", "z"], ["cat", "dog fish", "sea"])


def stored(folder) -> StoredScores:
    path = folder / "run.trec"
    path.write_text("a Q0 x 1 2.0 t\nb Q0 y 1 1.0 t\n")
    return StoredScores(path)


MAKERS = {
    "bi-encoder": lambda folder: BiEncoderScorer(tiny_sentence_transformer(), precision="fp32"),
    "cross-encoder": lambda folder: CrossEncoderScorer(tiny_cross_encoder(), precision="fp32"),
    "bm25": lambda folder: BM25(),
    "fusion": lambda folder: FusedScorer([BM25()], [1.0]),
    "stored": stored,
}
NO_PAIRS = {
    "lengths": ([0, 1], [0]),
    "lengths, broadcast": ([0], [0, 1, 2]),
    "none and one": ([], [0]),
    "negative": ([0], [-1]),
    "negative query": ([-2], [0]),
    "too large": ([2], [0]),
    "too large passage": ([0], [3]),
    "float": ([0.5], [0]),
    "whole float": ([0], [1.0]),
    "bool": ([True, False], [0, 1]),
    "mask": ([0, 1], [True, True]),
    "ids": (["a"], ["x"]),
    "table": ([[0]], [[0]]),
    "number": (0, 0),
    "nothing": (None, None),
}
NO_SEARCH = {"negative": ([-1], 2), "float": ([0.5], 2), "too large": ([2], 2), "ids": (["a"], 2)}
NO_SEARCH |= {"k -1": ([0], -1), "k 2.5": ([0], 2.5), "k true": ([0], True), "k none": ([0], None)}


@pytest.fixture(scope="module")
def scorers(tmp_path_factory):
    return {kind: make(tmp_path_factory.mktemp(kind)) for kind, make in MAKERS.items()}


@pytest.fixture(params=MAKERS)
def scorer(request, scorers):
    return scorers[request.param]


@pytest.mark.parametrize("pairs", NO_PAIRS.values(), ids=NO_PAIRS)
def test_what_are_no_pairs_is_refused(scorer, pairs):
    with pytest.raises(InputError, match="position"):
        scorer.score(QUERIES, CORPUS, *map(np.asarray, pairs))


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.int64])
def test_any_whole_numbers_are_positions(scorer, dtype):
    scores = scorer.score(QUERIES, CORPUS, np.array([0, 1], dtype), [0, 1])
    assert scores.shape == (2,) and scores.dtype == np.float32


@pytest.mark.parametrize("search", NO_SEARCH.values(), ids=NO_SEARCH)
def test_what_is_no_search_is_refused(scorer, search):
    if scorer.can_retrieve:
        with pytest.raises(InputError, match="position|passages per query"):
            scorer.retrieve(QUERIES, CORPUS, np.asarray(search[0]), search[1])


def test_no_passages_and_more_than_there_are_may_be_asked_for(scorer):
    if scorer.can_retrieve:
        assert scorer.retrieve(QUERIES, CORPUS, np.array([0]), 0).passages.shape == (1, 0)
        found = scorer.retrieve(QUERIES, CORPUS, np.array([0]), 5)
        assert found.passages.shape == (1, 5) and (found.passages[0, 3:] == -1).all()
