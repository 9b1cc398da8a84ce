from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from st_mta.types import Collection, FloatArray, IntArray, Retrieved, Scorer, Texts

NUM_QUERIES, NUM_PASSAGES = 30, 200


class FixedRankings(Scorer):
    """Retrieves given rankings, by query position; knows how deep it was asked to search."""

    kind = "fixed"
    can_retrieve = True

    def __init__(self, name: str, rankings: dict[int, Sequence[int]]) -> None:
        self.name = name
        self.rankings = rankings
        self.asked_for = 0

    @property
    def fingerprint(self) -> str:
        return self.name

    def score(self, queries, corpus, query_positions, passage_positions) -> FloatArray:
        raise AssertionError("mining asks for rankings only")

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        self.asked_for = k
        passages = np.full((len(query_positions), k), -1, dtype=np.int64)
        for row, position in enumerate(query_positions):
            ranking = list(self.rankings.get(int(position), ()))[:k]
            passages[row, : len(ranking)] = ranking
        scores = np.where(passages >= 0, -np.arange(k, dtype=np.float32), -np.inf).astype(np.float32)
        return Retrieved(np.asarray(query_positions), passages, scores)


@pytest.fixture
def collection() -> Collection:
    """Query qi has the positives pi (grade 1) and p(i+100) (grade 2); p(i+101) is judged and not relevant."""
    qrels = {f"q{i}": {f"p{i}": 1, f"p{i + 101}": 0, f"p{i + 100}": 2} for i in range(NUM_QUERIES)}
    return Collection(
        "fixed",
        Texts([f"p{i}" for i in range(NUM_PASSAGES)], [f"passage {i}" for i in range(NUM_PASSAGES)]),
        Texts([f"q{i}" for i in range(NUM_QUERIES)], [f"query {i}" for i in range(NUM_QUERIES)]),
        {"train": qrels},
    )


@pytest.fixture
def shuffled():
    """A retriever with a random ranking of the whole corpus for each query."""

    def make(name: str, seed: int) -> FixedRankings:
        random = np.random.default_rng(seed)
        return FixedRankings(name, {query: random.permutation(NUM_PASSAGES) for query in range(NUM_QUERIES)})

    return make
