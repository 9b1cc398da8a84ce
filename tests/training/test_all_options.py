"""All options of the iterations at once: a run that breaks goes on to the same student."""

from __future__ import annotations

from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import killed, toy_trainer

OPTIONS = {
    "num_iterations": 3,
    "patience": 3,
    "curriculum": "weighted",
    "queries_per_iteration": 16,
    "calibration": "zscore",
    "fusion": "weighted",
    "select_per": "query",
    "alpha": 0.8,
    "alpha_end": 0.3,
    "regression_weight": 0.5,
    "target_entropy": 0.6,
    "batches": "sharing",
    "relabel": 0.01,
    "windows": 6,
    "best_windows": 2,
}


def test_a_run_that_breaks_goes_on_to_the_same_student(toy_collection, tmp_path, monkeypatch):
    report = toy_trainer(tmp_path / "whole", tmp_path / "store", toy_collection, **OPTIONS).train()
    assert [entry["queries"] for entry in report["iterations"]] == [16, 16, 16]
    with killed(monkeypatch, "evaluate", times=2):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **OPTIONS).train()
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **OPTIONS).train(resume_from_checkpoint=True)
    for part in ("iteration-02/student", "student"):
        assert_same(weights(tmp_path / "whole" / part), weights(tmp_path / "out" / part))
