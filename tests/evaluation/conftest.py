from __future__ import annotations

import numpy as np
import pytest

from st_mta.types import Collection, Retrieved, Scorer, Texts


class TableScorer(Scorer):
    """Scores from a (queries, passages) table; NaN where it knows nothing."""

    kind = "stored"

    def __init__(self, name, table, can_retrieve=True):
        self.name, self.table, self.can_retrieve = name, np.asarray(table, dtype=np.float32), can_retrieve

    @property
    def fingerprint(self):
        return self.name

    def score(self, queries, corpus, query_positions, passage_positions):
        return self.table[query_positions, passage_positions]

    def retrieve(self, queries, corpus, query_positions, k):
        scores = self.table[query_positions]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        return Retrieved(query_positions, order.astype(np.int64), np.take_along_axis(scores, order, axis=1))


@pytest.fixture
def table_scorer():
    return TableScorer


@pytest.fixture
def collection():
    """12 passages, 6 queries; grades 0, 1 and 2; the order of the qrels is not the order of the queries."""
    passages = {
        "p00": "the cat eats fish",
        "p01": "a dog runs in the town",
        "p02": "the bird flies to the tree",
        "p03": "the horse drinks water from the lake",
        "p04": "the sun shines in the sky",
        "p05": "the moon is a cold light",
        "p06": "bread and milk",
        "p07": "a train runs fast",
        "p08": "the ship swims on the sea",
        "p09": "wind and wave and water flow",
        "p10": "the gene is in the cell",
        "p11": "a list of numbers is a string error",
    }
    queries = {
        "q0": "what eats fish",
        "q1": "which runs fast",
        "q2": "where is water",
        "q3": "light of the moon",
        "q4": "gene in a cell",
        "q5": "string or number",
    }
    qrels = {
        "dev": {
            "q2": {"p03": 2, "p09": 1, "p08": 1, "p06": 0},
            "q0": {"p00": 1},
            "q1": {"p07": 2, "p01": 1, "p03": 0},
            "q3": {"p05": 2, "p04": 1},
        },
        "test": {"q4": {"p10": 1}, "q5": {"p11": 1}},
    }
    return Collection("toy", Texts.from_dict(passages), Texts.from_dict(queries), qrels)
