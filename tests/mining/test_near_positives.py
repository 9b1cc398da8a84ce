"""Similarity to the nearest positive, against loops and by hand."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from st_mta.mining import near_positives, similarity_to_positives
from st_mta.types import Candidates


def lists_of(*rows):
    """Candidates from rows of (passage, positive)."""
    pairs = [pair for row in rows for pair in row]
    offsets = np.cumsum([0, *map(len, rows)])
    passages = np.array([passage for passage, _ in pairs], dtype=np.int64)
    positive = np.array([relevant for _, relevant in pairs], dtype=bool)
    return Candidates(np.arange(len(rows)), offsets, passages, positive, np.zeros(len(pairs), dtype=np.int64), ("a",))


def test_by_hand():
    """Cosines of (1, 0), (0, 2) and (3, 4): 0, 0.6 and 0.8, whatever their lengths."""
    vectors = np.array([[1, 0], [0, 2], [3, 4]], dtype=np.float32)
    lists = lists_of([(0, 1), (1, 0), (2, 0)], [(0, 1), (2, 0), (1, 1)], [(0, 0), (1, 0)])
    expected = [1, 0, 0.6, 1, 0.8, 1, np.nan, np.nan]
    np.testing.assert_allclose(similarity_to_positives(lists, lambda at: vectors[at]), expected, rtol=1e-6)


@pytest.mark.parametrize("at_once", [2**16, 7, 1])
def test_as_in_loops(monkeypatch, at_once):
    monkeypatch.setattr(near_positives, "PAIRS_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    vectors = random.standard_normal((30, 8)).astype(np.float32)
    rows = [
        [(int(passage), bool(random.random() < 0.3)) for passage in random.choice(30, size, replace=False)]
        for size in (1, 5, 12, 2, 30)
    ]
    lists = lists_of(*rows)
    found = similarity_to_positives(lists, lambda at: vectors[at])
    for row, (a, b) in zip(rows, pairwise(lists.offsets)):
        positives = [vectors[passage].astype(np.float64) for passage, relevant in row if relevant]
        for (passage, relevant), value in zip(row, found[a:b]):
            own = vectors[passage].astype(np.float64)
            cosines = [own @ other / np.linalg.norm(own) / np.linalg.norm(other) for other in positives]
            expected = 1.0 if relevant else max(cosines, default=np.nan)
            assert value == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_only_what_is_listed_is_asked_for():
    asked = []
    lists = lists_of([(4, 1), (7, 0)], [(9, 0)])
    similarity_to_positives(lists, lambda at: asked.append(at.tolist()) or np.eye(10, dtype=np.float32)[at])
    assert asked == [[4, 7]]


def test_without_any_negative_nothing_is_asked_for():
    lists = lists_of([(4, 1)], [(7, 1)])
    assert similarity_to_positives(lists, lambda at: pytest.fail("asked")).tolist() == [1, 1]
