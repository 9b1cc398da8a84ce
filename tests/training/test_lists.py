"""Missing scores, pseudo-positives and padding, against hand-made lists."""

from __future__ import annotations

import numpy as np

from st_mta.training.lists import drop_unscored, fill_missing, mark_pseudo_positives, padded, rows_of
from st_mta.types import Candidates

NAN = float("nan")


def lists(positive=(False,) * 6):
    return Candidates(
        queries=np.array([7, 3, 5]),
        offsets=np.array([0, 3, 5, 6]),
        passages=np.array([10, 11, 12, 20, 21, 30]),
        positive=np.array(positive),
        source=np.zeros(6, dtype=np.int64),
        sources=("a",),
    )


def test_pairs_the_teacher_does_not_know_leave_and_short_lists_with_them():
    scores = np.array([[1.0, NAN, 2.0, 3.0, NAN, 4.0], [1, 2, 3, 4, 5, 6]], dtype=np.float32)
    kept, values, dropped = drop_unscored(lists(), scores)
    assert kept.queries.tolist() == [7] and kept.passages.tolist() == [10, 12] and dropped == 2
    assert values.tolist() == [[1.0, 2.0], [1.0, 3.0]]


def test_what_an_assistant_does_not_list_gets_its_lowest_score_of_the_query():
    scores = np.array([[1, 2, 3, 4, 5, 6], [0.5, NAN, 0.2, NAN, 9.0, NAN]], dtype=np.float32)
    filled = fill_missing(lists(), scores)
    assert filled[1].tolist() == np.float32([0.5, 0.2, 0.2, 9.0, 9.0, 0.0]).tolist()
    assert filled[0].tolist() == scores[0].tolist()


def test_the_teachers_best_stands_in_for_missing_labels_only():
    labelled = lists(positive=(False, False, False, True, False, False))
    marked = mark_pseudo_positives(labelled, np.array([1.0, 3.0, 3.0, 0.0, 9.0, 1.0], dtype=np.float32))
    assert marked.positive.tolist() == [False, True, False, True, False, True]


def test_padding_keeps_scores_beside_their_rows():
    values, mask = padded(lists(), np.arange(6, dtype=np.float32), np.array([1, 0]))
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert values[mask].tolist() == [3, 4, 0, 1, 2]


def test_rows_are_found_by_query_position():
    assert rows_of(lists(), np.array([5, 7, 4, 7])).tolist() == [2, 0, 0]


def test_selected_rows_and_their_pairs_agree():
    rows = np.array([2, 0, 0])
    chosen = lists().select(rows)
    assert (
        chosen.passages.tolist() == lists().passages[lists().pairs_of(rows)].tolist() == [30, 10, 11, 12, 10, 11, 12]
    )
