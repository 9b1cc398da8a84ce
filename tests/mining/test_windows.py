"""Mining where passages are windows: a document counts once, and its windows are no negatives of it."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from st_mta.collections import from_dictionaries, with_windows
from st_mta.mining import best_windows, mine, positive_ranks
from st_mta.types import Retrieved
from tests.evaluation.test_documents import Table


def cut(best=1):
    """Windows 0-2 are of document a, 3-4 of b, 5 of c, 6-7 of d, which has the text of b."""
    corpus = {"a": "a1 a2 a3", "b": "b1 b2", "c": "c1", "d": "b1 b2"}
    collection = from_dictionaries(
        "made", corpus, {"q": "x", "r": "y"}, {"train": {"q": {"b": 2}, "r": {"c": 1, "a": 1}}}
    )
    return with_windows(collection, 1, 1, best)


SCORES = [[5, 9, 7, 3, 8, 1, 6, 2], [0, 1, 2, 3, 4, 5, 6, 7]]


def rows(lists):
    return [lists.passages[a:b].tolist() for a, b in pairwise(lists.offsets)]


def test_a_document_counts_once_and_never_against_itself():
    collection = cut()
    lists = mine(collection, np.array([0, 1]), [Table(SCORES)], collection.qrels["train"], num_candidates=4)
    # Of q: document b by its first window, then a by its best one, then c; d is a copy of b.
    # Of r: c and a are labelled; d by its best window, b is a copy of it.
    assert rows(lists) == [[3, 1, 5], [5, 0, 7]]
    assert lists.positive.tolist() == [True, False, False, True, True, False]
    assert lists.grades.tolist() == [2, 0, 0, 1, 1, 0]


def test_the_teacher_chooses_the_window_of_every_document():
    collection = cut()
    lists = mine(collection, np.array([0, 1]), [Table(SCORES)], collection.qrels["train"], num_candidates=4)
    teacher = Table([[1, 2, 3, 4, 5, 6, 7, 8], [3, 2, 1, 0, 0, 0, np.nan, -9]])
    found = best_windows(collection, lists, teacher)
    assert rows(found) == [[4, 2, 5], [5, 0, 7]]
    assert found.positive.tolist() == lists.positive.tolist() and found.grades.tolist() == lists.grades.tolist()
    two = best_windows(cut(2), lists, teacher)
    assert rows(two) == [[4, 3, 2, 1, 5], [5, 0, 1, 7, 6]]
    assert two.positive.tolist() == [True, True, False, False, False, True, True, True, False, False]
    assert best_windows(collection.over_documents, lists, teacher) is lists


def test_ranks_are_those_of_documents():
    collection = cut()
    order = np.array([[0, 1, 5, 2, 7], [3, 6, 4, 2, 5]])
    found = Retrieved(np.array([0, 1]), order, np.zeros(order.shape, dtype=np.float32))
    # Of q: a, c, then d, which has b's text. Of r: b and its copy, then a.
    assert positive_ranks(found, collection, collection.qrels["train"]).tolist() == [3, 2]


def test_the_search_is_as_deep_as_documents_need():
    collection, table = cut(), Table(SCORES)
    mine(collection, np.array([0]), [table], collection.qrels["train"], num_candidates=2, depth=1)
    assert table.depths == [4]  # (1 rank + 1 for the positive) x 2 windows of a document
