"""A loss, a host's loss and a scorer of the user's own, each in ten lines, in a whole run."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    EmbedDistillLoss,
    MarginMSELoss,
    TripletLoss,
)

from st_mta.errors import InputError
from st_mta.types import Scorer
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import killed, toy_trainer


def squared_error(student_logits, target_log_probs, mask):
    """A listwise loss: squared differences of probabilities."""
    student = student_logits.masked_fill(~mask, -torch.inf).softmax(dim=-1)
    target = target_log_probs.masked_fill(~mask, -torch.inf).exp()
    return (student - target).square().sum(dim=-1)


class LettersScorer(Scorer):
    """A scorer: how many letters query and passage share."""

    name, kind = "letters", "letters"
    fingerprint = hashlib.blake2b(b"letters 1", digest_size=16).hexdigest()

    def __init__(self):
        self.asked = []

    def score(self, queries, corpus, query_positions, passage_positions):
        pairs = list(zip(queries.take(query_positions), corpus.take(passage_positions)))
        self.asked += pairs
        return np.array([len(set(query) & set(passage)) for query, passage in pairs], dtype=np.float32)


@pytest.mark.parametrize(
    "loss",
    [squared_error, f"{__name__}:squared_error", MarginMSELoss, DistillKLDivLoss, EmbedDistillLoss, "margin-mse"],
    ids=lambda loss: loss if isinstance(loss, str) else loss.__name__,
)
def test_a_loss_trains_a_student_and_a_killed_run_resumes_to_the_same(toy_collection, tmp_path, monkeypatch, loss):
    options = {"loss": loss, "regression_epochs": 0.0, "num_iterations": 1, "learning_rate": 1e-3}
    with killed(monkeypatch, "evaluate"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options).train()
    trained = weights(tmp_path / "out/iteration-00/student")
    before = weights(tmp_path / "out/student-before")
    assert any(not torch.equal(before[name], trained[name]) for name in before)
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options)
    report = trainer.train(resume_from_checkpoint=True)
    assert report["iterations"][0]["loss"]["last"] > 0
    assert_same(trained, weights(tmp_path / "out/iteration-00/student"))


def test_a_loss_of_the_host_that_has_no_word_says_how_to_wrap_it(toy_collection, tmp_path):
    with pytest.raises(InputError, match="HostLoss"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, loss=TripletLoss)


def test_a_scorer_of_ones_own_teaches_and_is_never_asked_for_its_speed(toy_collection, tmp_path):
    teacher = LettersScorer()
    trainer = toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, num_iterations=1, teacher=teacher)
    report = trainer.train()
    assert report["teacher"]["kind"] == "letters" and report["teacher"]["queries_per_second"] is None
    assert report["recovered"] > 0
