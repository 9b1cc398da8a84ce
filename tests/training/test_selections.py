"""Which assistant was selected how often, from the log."""

from __future__ import annotations

import pytest

from st_mta.training.checkpoints import selected_over_steps, selected_shares

LOG = [
    {"step": 10, "loss": 1.0, "selected/a": 0.75, "selected/b": 0.25},
    {"step": 10, "eval_loss": 1.0},
    {"step": 20, "loss": 1.0, "selected/b": 1.0},
    {"step": 25, "loss": 1.0, "selected/a+b": 1.0},
    {"step": 25, "train_runtime": 1.0},
]


def test_shares_are_weighted_by_steps():
    shares = selected_shares(LOG)
    assert shares == pytest.approx({"b": (2.5 + 10) / 25, "a": 7.5 / 25, "a+b": 5 / 25})
    assert list(shares) == ["b", "a", "a+b"]


def test_over_steps_by_hand():
    assert selected_over_steps(LOG) == {
        "steps": [10, 20, 25],
        "shares": {"a": [0.75, 0.0, 0.0], "b": [0.25, 1.0, 0.0], "a+b": [0.0, 0.0, 1.0]},
    }


def test_a_long_log_is_kept_in_stretches():
    assert selected_over_steps(LOG, most_points=2) == {
        "steps": [20, 25],
        "shares": {"a": [0.375, 0.0], "b": [0.625, 0.0], "a+b": [0.0, 1.0]},
    }
    log = [{"step": 5 * (i + 1), "selected/a": i / 1000, "selected/b": 1 - i / 1000} for i in range(1000)]
    kept = selected_over_steps(log)
    assert len(kept["steps"]) == 40 and kept["steps"][-1] == 5000
    assert sum(kept["shares"]["a"]) / 40 == pytest.approx(selected_shares(log)["a"], abs=1e-3)


def test_nothing_selected():
    assert selected_shares([{"step": 1, "loss": 1.0}]) == {}
    assert selected_over_steps([{"step": 1, "loss": 1.0}]) is None
