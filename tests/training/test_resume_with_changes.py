"""A run resumes under the arguments, models, data and loss it was begun with, and under no others."""

from __future__ import annotations

import json
from functools import partial

import pytest
import torch

from st_mta.assistants.pool import AssistantPool
from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import killed, toy_trainer

OTHERS = {
    "optim": "adafactor", "adam_beta1": 0.5, "adam_epsilon": 1e-6, "prompts": {"query": "the "}, "data_seed": 7,
    "lr_scheduler_kwargs": {"last_epoch": -1}, "learning_rate_mapping": {"embeddings": 0.0}, "seed": 7,
    "dataloader_drop_last": True, "batch_sampler": "no_duplicates", "gradient_checkpointing": True,
    "label_smoothing_factor": 0.1, "max_grad_norm": 2.0, "num_iterations": 3, "precision": "bf16", "dropout": 0.1,
    "loss": lambda student, targets: ListwiseKLLoss(student, targets=targets, alpha=0.9),
    "student": tiny_sentence_transformer(5),
}  # fmt: skip
HARMLESS = {
    "save_steps": 1, "save_total_limit": 3, "logging_steps": 2, "report_to": "none", "run_name": "other",
    "disable_tqdm": False, "dataloader_num_workers": 1, "hub_token": "secret",
}  # fmt: skip


@pytest.fixture(scope="module")
def begun(tmp_path_factory, toy_collection):
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch, killed(patch, "train"):
        toy_trainer(folder / "out", folder / "store", toy_collection).train()
    return folder


def resume(folder, collection, **changes):
    return toy_trainer(folder / "out", folder / "store", collection, **changes).train(resume_from_checkpoint=True)


@pytest.mark.parametrize("name", OTHERS)
def test_what_changes_the_student_is_refused_by_name(begun, toy_collection, name):
    before = (begun / "out" / "state.json").read_text()
    said = {"precision": "bf16|teacher", "loss": "loss", "student": "student"}.get(name, name)
    with pytest.raises(InputError, match=f"configuration.*({said})"):
        resume(begun, toy_collection, **{name: OTHERS[name]})
    assert (begun / "out" / "state.json").read_text() == before


def test_another_loss_of_the_same_kind_is_another_loss(toy_collection, tmp_path, monkeypatch):
    def weighted(alpha):
        return {"loss": lambda student, targets: ListwiseKLLoss(student, targets=targets, alpha=alpha)}

    with killed(monkeypatch, "train"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **weighted(0.5)).train()
    with pytest.raises(InputError, match="loss"):
        resume(tmp_path, toy_collection, **weighted(0.6))
    resume(tmp_path, toy_collection, **weighted(0.5))


def weighted_error(weight):
    def divergence(student_logits, target_log_probs, mask):
        student = student_logits.masked_fill(~mask, -torch.inf).softmax(dim=-1)
        return weight * (student - target_log_probs.exp()).square().sum(dim=-1)

    return divergence


@pytest.mark.parametrize("make", [weighted_error, lambda weight: partial(squared, weight=weight)])
def test_a_constant_in_the_users_function_counts(toy_collection, tmp_path, monkeypatch, make):
    with killed(monkeypatch, "train"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, loss=make(1.0)).train()
    with pytest.raises(InputError, match="loss"):
        resume(tmp_path, toy_collection, loss=make(9.0))
    resume(tmp_path, toy_collection, loss=make(1.0))


def squared(student_logits, target_log_probs, mask, weight=1.0):
    return weighted_error(weight)(student_logits, target_log_probs, mask)


def test_frozen_weights_count(begun, toy_collection):
    student = tiny_sentence_transformer(1)
    student[0].auto_model.embeddings.requires_grad_(False)
    with pytest.raises(InputError, match="frozen"):
        resume(begun, toy_collection, student=student)


def test_a_trainer_can_be_trained_again_after_a_promotion(toy_collection, tmp_path, monkeypatch):
    monkeypatch.setattr(AssistantPool, "replaceable", lambda self, *_: "A" if "A" in self.assistant_names else None)
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection)
    report = trainer.train()
    assert trainer.train(resume_from_checkpoint=True)["iterations"] == report["iterations"]


def test_other_data_are_refused(begun, toy_collection):
    texts = toy_collection.corpus.take(range(60))
    changed = from_dictionaries(
        "toy",
        {f"p{i}": text for i, text in enumerate(texts)},
        dict(zip(toy_collection.queries.ids, toy_collection.queries.take(range(40)))),
        {**toy_collection.qrels, "test": {"q30": {"p0": 1}}},
    )
    with pytest.raises(InputError, match="collection"):
        resume(begun, changed)


def test_what_changes_no_weight_is_accepted(begun, toy_collection):
    """Last here, since it ends the run."""
    assert resume(begun, toy_collection, **HARMLESS)["recovered"] > 0
    configuration = json.loads((begun / "out" / "state.json").read_text())["configuration"]
    assert "secret" not in json.dumps(configuration)
