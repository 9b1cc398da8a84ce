"""Candidates with scores: missing scores, pseudo-positives, padding and runs, against hand-made lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.mining import load_scored, save_scored
from st_mta.scored import ScoredCandidates, score_all
from st_mta.scorers import BM25
from st_mta.types import Candidates, Texts, Windows

NAN = float("nan")


def scored(*scores, positive=(False,) * 6):
    lists = Candidates(
        queries=np.array([7, 3, 5]),
        offsets=np.array([0, 3, 5, 6]),
        passages=np.array([10, 11, 12, 20, 21, 30]),
        positive=np.array(positive),
        source=np.zeros(6, dtype=np.int64),
        sources=("a",),
    )
    rows = scores or ([0.0, 1, 2, 3, 4, 5],)
    return ScoredCandidates(lists, np.array(rows, dtype=np.float32), tuple("TAB"[: len(rows)]))


def test_pairs_the_teacher_does_not_know_leave_and_short_lists_with_them():
    known = scored([1.0, NAN, 2.0, 3.0, NAN, 4.0], [1, 2, 3, 4, 5, 6]).known()
    assert known.candidates.queries.tolist() == [7] and known.candidates.passages.tolist() == [10, 12]
    assert known.scores.tolist() == [[1.0, 2.0], [1.0, 3.0]]


def test_what_an_assistant_does_not_list_gets_its_lowest_score_of_the_query():
    before = scored([1, 2, 3, 4, 5, 6], [0.5, NAN, 0.2, NAN, 9.0, NAN])
    filled = before.filled().scores
    assert filled[1].tolist() == np.float32([0.5, 0.2, 0.2, 9.0, 9.0, 0.0]).tolist()
    assert filled[0].tolist() == before.scores[0].tolist() and np.isnan(before.scores[1, 1])


def test_the_teachers_best_stands_in_for_missing_labels_only():
    labelled = scored([1.0, 3.0, 3.0, 0.0, 9.0, 1.0], positive=(False, False, False, True, False, False))
    assert labelled.with_pseudo_positives().candidates.positive.tolist() == [False, True, False, True, False, True]


def test_dense_keeps_scores_and_positives_beside_their_rows():
    positive = (True, False, False, False, True, False)
    scores, mask, marked = scored(range(6), range(10, 16), positive=positive).select(np.array([1, 0])).dense()
    assert mask.tolist() == [[True, True, False], [True, True, True]]
    assert scores.shape == (2, 2, 3)
    assert scores[:, 0][mask].tolist() == [3, 4, 0, 1, 2] and scores[:, 1][mask].tolist() == [13, 14, 10, 11, 12]
    assert marked.tolist() == [[False, True, False], [True, False, False]]


def test_rows_are_found_by_query_position():
    assert scored().candidates.rows_of(np.array([5, 7, 4, 7])).tolist() == [2, 0, 0]


def test_selected_rows_and_kept_pairs_take_their_scores_along():
    chosen = scored().select(np.array([2, 0, 0]))
    assert chosen.candidates.passages.tolist() == [30, 10, 11, 12, 10, 11, 12]
    assert chosen.scores.tolist() == [[5, 0, 1, 2, 0, 1, 2]]
    kept = scored().keep(np.array([True, False, True, False, True, True]))
    assert kept.candidates.lengths.tolist() == [2, 1, 1] and kept.scores.tolist() == [[0, 2, 4, 5]]


def test_files_give_back_the_same_and_refuse_what_does_not_belong_together(tmp_path):
    save_scored(tmp_path, scored(range(6), range(10, 16)))
    again = load_scored(tmp_path, ["T", "A"])
    assert again.scores.tolist() == [list(range(6)), list(range(10, 16))] and again.scorers == ("T", "A")
    assert again.candidates.positive.tolist() == [False] * 6
    for broken in (np.zeros((2, 5), dtype=np.float32), np.zeros(6, dtype=np.float32)):
        np.save(tmp_path / "scores.npy", broken)
        with pytest.raises(InputError, match="scores of 6 pairs"):
            load_scored(tmp_path)
    (tmp_path / "scores.npy").write_bytes(b"")
    with pytest.raises(InputError, match="scores of 6 pairs"):
        load_scored(tmp_path)


def test_everybody_scores_every_pair_and_a_run_has_ids():
    corpus = {f"p{i}": f"cat {'fish ' * i}" for i in range(3)}
    collection = from_dictionaries("x", corpus, {"q": "fish"}, {"dev": {"q": {"p1": 1}}})
    source = np.zeros(2, dtype=np.int64)
    lists = Candidates(np.array([0]), np.array([0, 2]), np.array([2, 0]), source.astype(bool), source, ("a",))
    both = score_all(collection, lists, [BM25(), BM25(k1=3.0)])
    assert both.scores.shape == (2, 2) and both.scores[0, 0] > both.scores[0, 1] == 0
    assert both.as_run(collection, both.scores[0]) == {"q": {"p2": float(both.scores[0, 0]), "p0": 0.0}}


def test_a_pseudo_positive_has_grade_1_and_a_labelled_one_keeps_its_own():
    lists = Candidates(
        np.array([0, 1]), np.array([0, 2, 4]), np.arange(4), np.array([1, 0, 0, 0], bool), np.zeros(4, int), ("a",)
    )
    scored = ScoredCandidates(replace(lists, grades=np.array([3, 0, 0, 0])), np.array([[1.0, 2, 3, 4]], np.float32))
    assert scored.with_pseudo_positives().candidates.grades.tolist() == [3, 0, 0, 1]


def test_of_windows_the_best_document_stands_in_for_missing_labels():
    """Windows 0 and 1 of one document have 3 + 3 together, and 5 is of another."""
    windows = Windows(Texts.from_dict({"a": "", "b": ""}), np.array([0, 0, 1]), np.zeros((3, 2)), 2)
    flags, nothing = np.zeros(3, dtype=bool), np.zeros(3, dtype=np.int64)
    lists = Candidates(np.array([0]), np.array([0, 3]), np.arange(3), flags, nothing, ("a",))
    found = ScoredCandidates(lists, np.float32([[3, 3, 5]]), ("T",)).with_pseudo_positives(windows)
    assert found.candidates.positive.tolist() == [True, True, False]
