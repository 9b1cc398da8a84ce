"""A training that ended badly is not recorded, and can be repeated with another learning rate."""

from __future__ import annotations

import json

import pytest
import torch

from st_mta.errors import InputError
from st_mta.training.diverged import refuse_diverged
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer
from tests.training.toy_run import toy_trainer


def last_weight(model):
    return list(model.parameters())[-1].data.view(-1)


def test_what_is_finite_passes():
    refuse_diverged(tiny_sentence_transformer(1), "it", 1e-4, {"first": 2.0, "last": 1.0})
    refuse_diverged(tiny_cross_encoder(1), "it", 1e-4)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [tiny_sentence_transformer, tiny_cross_encoder])
def test_weights_that_are_not_finite_are_refused(make, value):
    model = make(1)
    last_weight(model)[0] = value
    with pytest.raises(InputError, match=r"after the tuning.*a weight of .*learning rate 0\.5.*lower learning rate"):
        refuse_diverged(model, "the tuning", 0.5)


def test_a_loss_or_an_embedding_that_is_not_finite_is_refused():
    model = tiny_sentence_transformer(1)
    with pytest.raises(InputError, match="nan as the last loss"):
        refuse_diverged(model, "it", 1.0, {"first": 1.0, "last": float("nan")})
    with torch.no_grad():  # finite weights whose products are not
        for weight in model.parameters():
            weight.fill_(1e30)
    with pytest.raises(InputError, match="an embedding"):
        refuse_diverged(model, "it", 1.0)


@pytest.mark.parametrize("stage", ["warm-up", "iteration-00/train"])
def test_a_diverged_stage_is_not_recorded_and_can_be_repeated(toy_collection, tmp_path, stage):
    rate = "regression_learning_rate" if stage == "warm-up" else "learning_rate"
    options = {"num_iterations": 1} | ({} if stage == "warm-up" else {"regression_epochs": 0.0})
    with pytest.raises(InputError, match=r"finite.*learning rate 1e\+30.*lower learning rate.*not recorded"):
        toy_trainer(tmp_path / "out", tmp_path / "s", toy_collection, **options, **{rate: 1e30}).train()
    assert stage not in json.loads((tmp_path / "out/state.json").read_text())["stations"]
    assert not (tmp_path / "out" / stage.partition("/")[0] / "student").exists()
