from __future__ import annotations

import pytest

from st_mta.evaluation import holm, paired_test, per_query
from st_mta.evaluation.side_by_side import compared_with_first, comparison_rows, mean_over_sets


def test_sets_of_one_family_count_as_one():
    by_set = {"nq": {"map": 0.9}, "cqadupstack-tex": {"map": 0.1}, "cqadupstack-gis": {"map": 0.4}}
    assert mean_over_sets(by_set) == {"map": pytest.approx((0.9 + 0.25) / 2)}


def test_rows_stand_by_collection_and_end_with_the_means():
    results = {"a": {"x": {"map": 0.1}, "y": {"map": 0.3}}, "b": {"x": {"map": 0.5}, "y": {"map": 0.7}}}
    assert [tuple(row.values()) for row in comparison_rows(results)] == [
        ("x", "a", "0.1000"), ("x", "b", "0.5000"), ("y", "a", "0.3000"), ("y", "b", "0.7000"),
        ("mean of 2", "a", "0.2000"), ("mean of 2", "b", "0.6000"),
    ]  # fmt: skip
    assert len(comparison_rows({"a": {"x": {"map": 0.1}}})) == 1


def test_every_model_is_tested_against_the_first():
    qrels = {f"q{number}": {"good": 2, "fair": 1} for number in range(30)}
    good = {query_id: {"good": 2.0, "bad": 1.0} for query_id in qrels}
    fair = {query_id: {"fair": 2.0, "bad": 1.0} for query_id in qrels}
    late = {query_id: {"bad": 2.0, "good": 1.0} if query_id < "q2" else {"good": 1.0} for query_id in qrels}
    runs = {"good": good, "fair": fair, "late": late, "same": dict(good)}
    rows = compared_with_first(runs, qrels, "mrr@10", relevance_level=2)
    assert [(row["model"], row["against"], row["measure"]) for row in rows] == [
        (name, "good", "mrr@10") for name in ("fair", "late", "same")
    ]
    assert rows[0]["difference"] == -1.0 and (rows[0]["wins"], rows[0]["losses"], rows[0]["ties"]) == (0, 30, 0)
    assert (rows[2]["p_value"], rows[2]["p_holm"], rows[2]["ties"]) == (1.0, 1.0, 30)
    assert [row["p_holm"] for row in rows] == holm([row["p_value"] for row in rows])
    assert rows[0]["p_holm"] == 3 * rows[0]["p_value"]
    values = [per_query(run, qrels, "mrr@10", relevance_level=2) for run in (late, good)]
    assert rows[1]["p_value"] == paired_test(*values).p_value
