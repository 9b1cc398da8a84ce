"""Alpha goes linearly from its start to its end over all steps of a run."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers import TrainerCallback

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss
from st_mta.training import checkpoints
from st_mta.training.checkpoints import AlphaSchedule, alpha_schedule
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import toy_arguments, toy_trainer


def test_by_hand():
    loss = nn.Identity()
    schedule = AlphaSchedule(loss, 0.2, 0.8, iteration=1, num_iterations=3)
    reached = []
    for step in range(4):
        schedule.on_step_begin(None, SimpleNamespace(global_step=step, max_steps=4), None)
        reached.append(loss.alpha)
    assert reached == pytest.approx([0.4, 0.45, 0.5, 0.55])


def test_without_an_end_there_is_none(tmp_path):
    assert alpha_schedule(nn.Identity(), toy_arguments(tmp_path), 0) is None


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_out_of_range(tmp_path, value):
    with pytest.raises(InputError, match="alpha_end"):
        toy_arguments(tmp_path, alpha_end=value)


def test_a_loss_without_alpha_is_refused_before_training(toy_collection, tmp_path):
    with pytest.raises(InputError, match="alpha_end"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, alpha_end=0.9, loss=lambda *_: nn.Identity())
    assert not (tmp_path / "out").exists()


class Collect(TrainerCallback):
    def __init__(self):
        self.alphas = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs and "alpha" in logs:
            self.alphas.append(logs["alpha"])


def test_every_step_has_its_alpha_and_a_resumed_run_the_same_weights(toy_collection, tmp_path, monkeypatch):
    """24 queries in batches of 8 are 3 steps an iteration; the run is killed in the second iteration."""
    options = {"alpha": 0.9, "alpha_end": 0.1, "regression_epochs": 0.0, "curriculum": "none"}
    options |= {"learning_rate": 3e-3, "save_steps": 1}
    whole, collect = tmp_path / "whole", Collect()
    report = toy_trainer(whole, tmp_path / "store", toy_collection, callbacks=[collect], **options).train()
    assert collect.alphas == pytest.approx([0.9 - 0.8 * step / 6 for step in range(6)], abs=1e-6)
    assert [entry["alpha"] for entry in report["iterations"]] == pytest.approx(
        [collect.alphas[2], collect.alphas[5]], abs=1e-6
    )

    steps = []

    real = checkpoints.StageTrainer.training_step

    def dying(self, *arguments, **keywords):
        steps.append(1)
        if len(steps) == 6:
            raise RuntimeError("killed")
        return real(self, *arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.StageTrainer, "training_step", dying)
        with pytest.raises(RuntimeError, match="killed"):
            toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train(resume_from_checkpoint=True)
    resumed, constant = (tmp_path / name / "iteration-01" / "student" for name in ("out", "constant"))
    assert_same(weights(whole / "iteration-01" / "student"), weights(resumed))
    toy_trainer(tmp_path / "constant", tmp_path / "store", toy_collection, **(options | {"alpha_end": None})).train()
    assert any(not torch.equal(a, b) for a, b in zip(weights(resumed).values(), weights(constant).values()))


def test_a_loss_may_mean_something_else_by_alpha(toy_collection, tmp_path):
    def loss(student, targets):
        own = ListwiseKLLoss(student, targets=targets)
        own.alpha = torch.tensor(0.5)
        return own

    options = {"regression_epochs": 0.0, "regression_weight": 0.0, "loss": loss}
    report = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    assert not any("alpha" in entry for entry in report["iterations"])
