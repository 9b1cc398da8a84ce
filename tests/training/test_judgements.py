from __future__ import annotations

import numpy as np
import pytest

from st_mta.collections import from_dictionaries, with_windows
from st_mta.errors import InputError
from st_mta.training.judgements import judge_by_teacher, unjudged
from st_mta.types import Collection, Retrieved, Scorer


class Table(Scorer):
    """Scores by hand; searches by sorting them where it may."""

    kind, fingerprint = "stored", "by hand"

    def __init__(self, scores: np.ndarray, can_retrieve: bool) -> None:
        self.name, self.scores, self.can_retrieve = "table", scores.astype(np.float32), can_retrieve

    def score(self, queries, corpus, query_positions, passage_positions):
        return self.scores[query_positions, passage_positions]

    def retrieve(self, queries, corpus, query_positions, k):
        order = np.argsort(-self.scores[query_positions], axis=1, kind="stable")[:, :k]
        return Retrieved(query_positions, order, np.take_along_axis(self.scores[query_positions], order, axis=1))


@pytest.fixture
def collection() -> Collection:
    corpus = {f"p{i}": f"passage {i}" for i in range(15)}
    return from_dictionaries("made", corpus, {"a": "one", "b": "two"}, {"test": {"a": {"p0": 1}}})


def test_the_ten_best_the_first_graded_higher(collection):
    teacher = Table(np.stack([np.arange(15.0), -np.arange(15.0)]), can_retrieve=True)
    qrels = judge_by_teacher(collection, np.array([0, 1]), teacher, [], depth=15)
    assert qrels["a"] == {"p14": 2, **{f"p{i}": 1 for i in range(5, 14)}}
    assert qrels["b"] == {"p0": 2, **{f"p{i}": 1 for i in range(1, 10)}}


def test_a_teacher_that_only_ranks_chooses_among_what_is_found(collection):
    teacher = Table(np.stack([np.arange(15.0)] * 2), can_retrieve=False)
    retriever = Table(np.stack([-np.arange(15.0)] * 2), can_retrieve=True)
    assert judge_by_teacher(collection, np.array([1]), teacher, [retriever], depth=3) == {
        "b": {"p2": 2, "p1": 1, "p0": 1}
    }


def test_a_query_that_the_teacher_does_not_know_is_left_out(collection):
    scores = np.full((2, 15), np.nan)
    scores[0, 3] = 1.0
    retriever = Table(np.zeros((2, 15)), can_retrieve=True)
    judged = judge_by_teacher(collection, np.array([0, 1]), Table(scores, can_retrieve=False), [retriever], depth=15)
    assert judged == {"a": {"p3": 2}}


def test_nobody_to_search_is_refused(collection):
    with pytest.raises(InputError, match="at least one retriever"):
        judge_by_teacher(collection, np.array([0]), Table(np.zeros((2, 15)), can_retrieve=False), [], depth=5)


def test_queries_with_empty_judgements_are_unjudged(collection):
    collection.qrels["test"]["b"] = {}
    assert unjudged(collection, "test").tolist() == [1]


def test_copies_of_a_relevant_passage_are_as_relevant():
    corpus = {"p0": "sun", "p1": "moon", "p2": " sun", "p3": "sun\u00a0"}
    made = from_dictionaries("made", corpus, {"a": "one"}, {"test": {"a": {"p0": 1}}})
    judged = judge_by_teacher(made, np.array([0]), Table(np.array([[1.0, 0.0, 1.0, 1.0]]), True), [], depth=4)
    assert judged == {"a": {"p0": 2, "p2": 2, "p3": 2, "p1": 1}}


def test_of_windows_the_documents_are_judged():
    """The teacher ranks by the best window of a document, not by the one that was found; copies are judged alike."""
    corpus = {"a": "a1 a2", "b": "b1 b2", "c": "c1", "d": "b1 b2"}
    collection = with_windows(from_dictionaries("made", corpus, {"q": "one"}), 1, 1)
    retriever = Table(np.array([[9.0, 1, 8, 2, 7, 0, 0]]), can_retrieve=True)
    teacher = Table(np.array([[0.0, 5, 1, 2, 3, 1, 2]]), can_retrieve=False)
    judged = judge_by_teacher(collection, np.array([0]), teacher, [retriever], depth=5)
    assert judged == {"q": {"a": 2, "b": 1, "c": 1, "d": 1}}
    best = judge_by_teacher(collection, np.array([0]), retriever, [], depth=5)
    assert best == {"q": {"a": 2, "b": 1, "c": 1, "d": 1}}


def test_of_windows_of_which_several_count_the_document_is_judged_once():
    """By their two best windows b is best, by the best one a; of twelve documents ten are relevant."""
    scores = {"a": (9.0, 1.0), "b": (8.0, 7.0)} | {f"c{i}": (i / 10, i / 20) for i in range(10)}
    corpus = {name: f"{name}x {name}y" for name in scores}
    collection = with_windows(from_dictionaries("made", corpus, {"q": "one"}), 1, 1, 2)
    teacher = Table(np.array([[one for of in scores.values() for one in of]]), can_retrieve=True)
    judged = judge_by_teacher(collection, np.array([0]), teacher, [], depth=24)
    assert judged == {"q": {"b": 2, "a": 1, **{f"c{i}": 1 for i in range(2, 10)}}}
