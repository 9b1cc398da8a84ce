from __future__ import annotations

import pytest

from st_mta.evaluation import per_query
from st_mta.report import comparisons as module
from st_mta.report.comparisons import compare_queries
from tests.report.sample_evidence import sample_collection, sample_runs

QRELS = {"won": {"a": 1, "b": 2, "c": 0}, "lost": {"a": 1}, "same": {"a": 1}, "unanswered": {"a": 1}}
STUDENT = {"won": {"b": 3.0, "a": 2.0}, "lost": {"x": 2.0, "a": 1.0}, "same": {"a": 1.0}}
BASELINE = {"won": {"c": 3.0, "a": 2.0}, "lost": {"a": 2.0, "x": 1.0}, "same": {"a": 1.0}, "unanswered": {"x": 1.0}}


def test_what_was_won_and_lost_and_why():
    compared = compare_queries(STUDENT, BASELINE, QRELS, "teacher")
    assert (compared["baseline"], compared["wins"], compared["losses"], compared["ties"]) == ("teacher", 1, 1, 2)
    assert [entry["query"] for entry in compared["largest_wins"]] == ["won"]
    won, lost = compared["largest_wins"][0], compared["largest_losses"][0]
    assert won["student_first"] == {"passage": "b", "grade": 2, "student_rank": 1, "baseline_rank": None}
    assert won["baseline_first"] == {"passage": "c", "grade": 0, "student_rank": None, "baseline_rank": 1}
    assert won["relevant"] == won["student_first"]
    assert lost["student_first"] == {"passage": "x", "grade": None, "student_rank": 1, "baseline_rank": 2}
    assert lost["relevant"] == {"passage": "a", "grade": 1, "student_rank": 2, "baseline_rank": 1}


def test_values_are_those_of_the_measures():
    runs, qrels = sample_runs(), sample_collection().qrels["test"]
    compared = compare_queries(runs["student"], runs["teacher"], qrels, "teacher")
    ours, theirs = (per_query(runs[name], qrels, "ndcg@10") for name in ("student", "teacher"))
    differences = sorted((ours[query_id] - theirs[query_id] for query_id in qrels), reverse=True)
    assert compared["differences"] == pytest.approx(differences)
    assert compared["wins"] + compared["losses"] + compared["ties"] == len(qrels)
    shown = [*compared["largest_wins"], *compared["largest_losses"]]
    assert all(
        entry["student"] == ours[entry["query"]] and entry["baseline"] == theirs[entry["query"]] for entry in shown
    )
    losses = [entry["student"] - entry["baseline"] for entry in compared["largest_losses"]]
    assert losses == pytest.approx(differences[::-1][: len(losses)]) and len(losses) == 10


def test_of_equals_the_better_placed_passage_is_shown():
    qrels = {"q": {"far": 1, "near": 1, "low": 0}}
    compared = compare_queries({"q": {"low": 3.0, "near": 2.0, "far": 1.0}}, {"q": {"near": 1.0}}, qrels, "teacher")
    assert compared["largest_wins"][0]["relevant"]["passage"] == "near"


def test_ties_are_ranked_as_they_are_measured():
    compared = compare_queries({"q": {"a": 1.0, "b": 1.0}}, {"q": {"x": 1.0}}, {"q": {"b": 1}}, "teacher")
    assert compared["largest_wins"][0]["student"] == 1.0  # trec_eval puts the higher id first
    assert compared["largest_wins"][0]["student_first"]["passage"] == "b"


def test_very_many_queries_leave_a_curve_of_bounded_size(monkeypatch):
    monkeypatch.setattr(module, "MOST_DIFFERENCES", 5)
    runs, qrels = sample_runs(), sample_collection().qrels["test"]
    thin = compare_queries(runs["student"], runs["student_before"], qrels, "student_before")["differences"]
    monkeypatch.undo()
    whole = compare_queries(runs["student"], runs["student_before"], qrels, "student_before")["differences"]
    assert len(thin) == 5 and (thin[0], thin[-1]) == (whole[0], whole[-1])
    assert thin == sorted(thin, reverse=True)
