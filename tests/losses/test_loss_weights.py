"""What a loss has learned itself survives a resumed training, bit for bit."""

from __future__ import annotations

import pytest
import torch
from transformers import TrainerCallback

from st_mta.errors import InputError
from st_mta.losses import (
    FilteredContrastiveLoss,
    HiddenStateMSELoss,
    KeepLossWeights,
    ListwiseKLLoss,
    MultiLevelDistillationLoss,
)
from st_mta.losses.loss_weights import own_state
from tests.losses.conftest import stock_trainer
from tests.tiny import tiny_sentence_transformer


class Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            raise KeyboardInterrupt


def make_loss(student, seed):
    torch.manual_seed(seed)
    teacher = tiny_sentence_transformer(seed=3, layers=3, dim=48)
    word = {
        "learned": HiddenStateMSELoss(student, teacher=teacher),
        "orthogonal": HiddenStateMSELoss(student, teacher=teacher, projection="orthogonal"),
    }
    sentence = ListwiseKLLoss(student, objective="bce")
    return MultiLevelDistillationLoss(student, sentence=sentence, word=word, balance_every=3)


def train(folder, *, seed=0, callbacks=(), resume=False, keep=True):
    student = tiny_sentence_transformer(seed=1)
    loss = make_loss(student, seed)
    options = {"max_steps": 5, "per_device_train_batch_size": 2, "learning_rate": 1e-2}
    options |= {"save_strategy": "steps", "save_steps": 2}
    callbacks = [*([KeepLossWeights(loss)] if keep else []), *callbacks]
    stock_trainer(student, loss, folder, callbacks=callbacks, **options).train(resume_from_checkpoint=resume)
    return loss.state_dict()


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first if isinstance(first[name], torch.Tensor))


def test_killed_and_resumed_gives_the_same_bits(tmp_path):
    whole = train(tmp_path / "whole")
    for keep in (True, False):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / f"{keep}", callbacks=[Kill()], keep=keep)
        resumed = train(tmp_path / f"{keep}", seed=9, resume=True, keep=keep)
        assert same(whole, resumed) == keep
    assert whole["_extra_state"]["calls"] == 5
    of_objective = whole["sentence.learned_objective._extra_state"]
    assert of_objective == resumed["sentence.learned_objective._extra_state"] == {"labels": "logits"}
    assert whole["sentence.learned_objective.bias"] < 0 and whole["sentence.learned_objective.log_scale"] != 0


def test_gradients_of_the_loss_do_not_add_up_over_steps():
    """Whatever the host clears itself."""
    loss = make_loss(tiny_sentence_transformer(seed=1), 0)
    weights = [value for name, value in loss.named_parameters() if "projections" in name and value.requires_grad]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    KeepLossWeights(loss).on_step_end(None, None, None)
    assert weights and all(weight.grad is None for weight in weights)


def test_a_checkpoint_without_the_weights_is_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, callbacks=[Kill()], keep=False)
    with pytest.raises(InputError, match="own weights in .*checkpoint-2"):
        train(tmp_path, resume=True)


def test_the_student_is_no_part_of_it():
    student = tiny_sentence_transformer(seed=1)
    own = own_state(make_loss(student, 0))
    assert not any("model" in name for name in own)
    learned = {name.split(".")[1] for name in own if name != "_extra_state"}
    assert learned == {"learned", "orthogonal", "learned_objective"}
    assert own_state(FilteredContrastiveLoss(student)) == {}
    assert own_state(MultiLevelDistillationLoss(student)) == {}
