"""The teacher's best passage as the positive of a list, worked out by hand and in loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from st_mta.mining import load_scored, relabel, save_scored
from st_mta.scored import ScoredCandidates
from st_mta.types import Candidates, Texts, Windows
from tests import reference


def scored_of(rows):
    """Lists of (passage, grade, score); a second scorer gives every passage its number."""
    flat = [entry for row in rows for entry in row]
    passages, grades, scores = (np.array([entry[place] for entry in flat]) for place in range(3))
    offsets = np.cumsum([0, *map(len, rows)])
    nothing = np.zeros(len(flat), dtype=np.int64)
    lists = Candidates(np.arange(len(rows)), offsets, passages, grades > 0, nothing, ("a",), grades)
    return ScoredCandidates(lists, np.stack([scores, passages]).astype(np.float32), ("teacher", "number"))


def plain(scored):
    lists = scored.candidates
    pairs = list(zip(lists.passages.tolist(), lists.grades.tolist()))
    return [pairs[a:b] for a, b in pairwise(lists.offsets.tolist())]


ROWS = [
    [(10, 1, 2.0), (11, 0, 3.5), (12, 0, 1.0), (13, 0, 3.0)],  # 11 is surer by 1.5
    [(20, 2, 0.0), (21, 1, 4.0), (22, 0, 4.5)],  # the best of two labels counts, and its score, not its grade
    [(30, 1, 5.0), (31, 0, 4.0)],  # the label is the best
    [(40, 0, 9.0), (41, 0, 1.0)],  # nothing is labelled
    [(50, 0, 7.0), (51, 1, 7.0)],  # as sure is not surer
]


@pytest.mark.parametrize(
    ("margin", "changed"), [(0.0, [0, 1]), (0.5, [0]), (1.49, [0]), (1.5, [])], ids=["any", "half", "below", "exact"]
)
def test_lists_by_hand(margin, changed):
    found = relabel(scored_of(ROWS), margin)
    assert found.rows.tolist() == changed
    expected = [[entry[:2] for entry in row] for row in ROWS]
    if 0 in changed:
        expected[0] = [(11, 1), (10, 1), (12, 0), (13, 0)]
    if 1 in changed:
        expected[1] = [(22, 2), (20, 2), (21, 1)]
    assert plain(found.lists) == expected


def test_all_scores_move_with_their_passages():
    lists = relabel(scored_of(ROWS)).lists
    np.testing.assert_array_equal(lists.scores[1], lists.candidates.passages)
    assert lists.scores[0, :4].tolist() == [3.5, 2.0, 1.0, 3.0]


def test_against_loops():
    source = np.random.default_rng(0)
    rows = []
    for _ in range(200):
        size = int(source.integers(1, 7))
        grades = source.integers(-3, 3, size).clip(0)
        rows.append(list(zip(source.permutation(50)[:size].tolist(), grades.tolist(), source.integers(0, 9, size))))
    for margin in (0.0, 1.0, 2.5):
        found, (lists, changed) = relabel(scored_of(rows), margin), reference.relabelled(rows, margin)
        assert found.rows.tolist() == changed and 10 < len(changed) < 150
        assert plain(found.lists) == lists
        assert (found.lists.candidates.positive == (found.lists.candidates.grades > 0)).all()


def test_what_has_no_score_is_never_taken():
    found = relabel(scored_of([[(1, 1, 1.0), (2, 0, np.nan), (3, 0, 2.0)], [(4, 1, np.nan), (5, 0, 2.0)]]))
    assert found.rows.tolist() == [0] and plain(found.lists)[0][0] == (3, 1)


def test_the_order_survives_its_file(tmp_path):
    lists = relabel(scored_of(ROWS)).lists
    save_scored(tmp_path, lists)
    assert plain(load_scored(tmp_path)) == plain(lists)


def test_documents_are_compared_by_the_sum_of_their_windows():
    """Windows 0-1, 2-3 and 4-5 of three documents: the third is surer by two windows, the second by one alone."""
    windows = Windows(Texts.from_dict(dict.fromkeys("abc", "")), np.repeat([0, 1, 2], 2), np.zeros((6, 2)), 2)
    rows = [[(0, 1, 5.0), (1, 1, 1.0), (2, 0, 8.0), (3, 0, 0.0), (4, 0, 6.0), (5, 0, 4.0)]]
    found = relabel(scored_of(rows), 3.0, windows)
    assert found.rows.tolist() == [0]
    assert plain(found.lists) == [[(4, 1), (5, 1), (0, 1), (1, 1), (2, 0), (3, 0)]]
    assert relabel(scored_of(rows), 4.0, windows).rows.tolist() == []
