"""Embedding regression beside the listwise loss, through the whole flow."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers import SentenceTransformer
from torch import nn

from st_mta.errors import InputError
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer
from st_mta.stores import Store
from st_mta.training.trainer import MultiAssistantTrainer
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer


def test_nobody_to_regress_to_is_refused_before_anything_runs(toy_collection, tmp_path):
    store = Store(tmp_path / "store")
    pool = {"teacher": CrossEncoderScorer(tiny_cross_encoder(2), name="T", store=store)}
    pool |= {"assistants": [BM25(store=store)], "collection": toy_collection, "store": store}
    student = tiny_sentence_transformer(1)
    MultiAssistantTrainer(student, toy_arguments(tmp_path / "without"), **pool)
    with pytest.raises(InputError, match="regression_weight=0"):
        MultiAssistantTrainer(student, toy_arguments(tmp_path / "out", regression_weight=0.5), **pool)
    assert not (tmp_path / "out").exists()


def test_without_a_map_a_wider_bi_encoder_is_none_to_regress_to(toy_collection, tmp_path):
    teacher = BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="T")
    arguments = toy_arguments(tmp_path / "out", regression_weight=0.5, regression_map="none")
    with pytest.raises(InputError, match="with 32 dimensions, as the student has"):
        MultiAssistantTrainer(
            tiny_sentence_transformer(1), arguments, teacher=teacher, collection=toy_collection, store=tmp_path / "s"
        )


def test_a_negative_weight_is_refused(tmp_path):
    with pytest.raises(InputError, match="regression_weight"):
        toy_arguments(tmp_path, regression_weight=-0.1)


def test_a_loss_that_would_ignore_the_weight_is_refused(toy_collection, tmp_path):
    options = {"regression_weight": 0.5, "loss": lambda *_: nn.Identity()}
    with pytest.raises(InputError, match="regression_weight"):
        toy_trainer(tmp_path / "out", tmp_path / "store", toy_collection, **options)
    assert not (tmp_path / "out").exists()


def test_regression_keeps_the_student_near_its_target(toy_collection, tmp_path):
    """Without a warm-up: the iterations alone bring the embeddings to those of the best bi-encoder."""
    texts = toy_collection.corpus.take(range(60))
    distances = {}
    for weight in (0.0, 20.0):
        out = tmp_path / str(weight)
        options = {"regression_weight": weight, "regression_epochs": 0.0, "num_train_epochs": 3.0, "num_iterations": 1}
        options |= {"regression_map": "none"}
        report = toy_trainer(out, tmp_path / "store", toy_collection, learning_rate=3e-3, **options).train()
        assert report["warm_up"] is None
        name = max(("T", "A"), key=lambda name: report["development"][name])
        target = tiny_sentence_transformer({"T": 2, "A": 3}[name])
        student = SentenceTransformer(str(out / "iteration-00" / "student"), device="cpu")
        cosines = torch.cosine_similarity(*(torch.from_numpy(model.encode(texts)) for model in (student, target)))
        distances[weight] = 1 - cosines.mean().item()
    assert distances[20.0] < 0.7 * distances[0.0]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 3.0),
        ({"teacher_dim": 48}, 3.0),
        ({"teacher_dim": 48, "regression_map": "none"}, 0.0),
        ({"loss": lambda *_: nn.Identity()}, 0.0),
    ],
)
def test_an_open_weight_is_settled_by_what_is_at_hand(toy_collection, tmp_path, changes, expected):
    """3 where there is a bi-encoder, without a map one of the student's width, and 0 under a loss of the user's."""
    pool = {
        "teacher": BiEncoderScorer(tiny_sentence_transformer(2, dim=changes.pop("teacher_dim", 32)), name="T"),
        "assistants": [BM25()],
    }
    own = {name: changes.pop(name) for name in ("regression_map",) if name in changes}
    arguments = toy_arguments(tmp_path / "out", **own)
    trainer = MultiAssistantTrainer(
        tiny_sentence_transformer(1), arguments, collection=toy_collection, store=tmp_path / "s", **pool, **changes
    )
    assert trainer.distillation.settled.regression_weight == expected
    assert arguments.regression_weight is None
