from __future__ import annotations

import numpy as np

from st_mta.mining import positive_ranks
from st_mta.mining.positives import find_positives
from tests.mining.conftest import FixedRankings


def test_positives_are_ragged_and_best_grade_first(collection):
    qrels = {"q1": {"p3": 1, "p4": 3, "p5": 0, "stranger": 1}, "q2": {}, "q4": {"p0": 1}}
    found = find_positives(collection, np.array([4, 0, 1, 2, 1]), qrels)
    assert found.offsets.tolist() == [0, 1, 1, 3, 3, 5]
    assert found.passages.tolist() == [0, 4, 3, 4, 3]
    part = found.slice(slice(2, 5))
    assert (part.offsets.tolist(), part.passages.tolist()) == ([0, 2, 2, 4], [4, 3, 4, 3])


def test_marks_do_not_leak_into_other_rows_or_empty_places(collection):
    found = find_positives(collection, np.array([0, 1]), {"q0": {"p7": 1}, "q1": {"p0": 1}})
    marks = found.mark(np.array([[7, 0, -1], [7, 0, -1]]), np.arange(200))
    assert marks.tolist() == [[True, False, False], [False, True, False]]
    # p199 of the first row and "no passage" of the second have neighbouring codes.
    found = find_positives(collection, np.array([0, 1]), {"q0": {"p199": 1}})
    assert found.mark(np.array([[199], [-1]]), np.arange(200)).tolist() == [[True], [False]]


def test_ranks_of_the_first_positive_count_from_one(collection):
    retriever = FixedRankings("a", {0: [0, 100], 1: [5, 6, 101, 1], 2: [9, 8]})
    retrieved = retriever.retrieve(collection.queries, collection.corpus, np.array([2, 1, 0, 3]), 4)
    assert positive_ranks(retrieved, collection, collection.qrels["train"]).tolist() == [0, 3, 1, 0]


def test_ranks_without_retrieved_passages_are_zero(collection):
    retrieved = FixedRankings("a", {}).retrieve(collection.queries, collection.corpus, np.array([0, 1]), 0)
    assert positive_ranks(retrieved, collection, collection.qrels["train"]).tolist() == [0, 0]
