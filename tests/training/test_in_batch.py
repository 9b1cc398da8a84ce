"""Whole batches in a run: the teacher's stored embeddings or tokens score every query with every passage."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.collections.view import View
from st_mta.errors import InputError
from st_mta.losses import CachedListwiseKLLoss, ListwiseKLLoss
from st_mta.losses.in_batch_teacher import max_sim
from st_mta.run.identity import run_identity
from st_mta.run.results import Trained
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, with_view
from st_mta.stores import Store
from st_mta.training.in_batch import TeacherTokens, check_in_batch, in_batch_teacher
from st_mta.types import Texts
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer
from tests.training.test_levels_of_a_run import DiesAtStep
from tests.training.test_trainer import assert_same, weights
from tests.training.toy_run import toy_arguments, toy_trainer


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return Store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def teachers(store):
    options = {"store": store, "precision": "fp32"}
    return {
        "bi-encoder": BiEncoderScorer(tiny_sentence_transformer(2, dim=48), name="T", **options),
        "late-interaction": LateInteractionScorer(tiny_sentence_transformer(2), name="T", **options),
        "view": with_view(
            LateInteractionScorer(tiny_sentence_transformer(2), name="T", **options),
            View(corpus=Texts([f"p{i}" for i in range(60)], [f"the cat {i}" for i in range(60)])),
        ),
    }


@pytest.mark.parametrize("kind", ["bi-encoder", "late-interaction", "view"])
def test_the_matrix_holds_the_teachers_own_scores(teachers, toy_collection, kind):
    teacher = in_batch_teacher(teachers[kind], toy_collection)
    queries, passages = np.array([3, 0, 3]), np.array([7, 1, 59, 2])
    teacher.prepare(np.arange(10), np.arange(60))
    label = teacher(queries, passages)
    compare = max_sim if kind != "bi-encoder" else lambda left, right: left @ right.T
    matrix = compare(label["teacher_queries"], label["teacher_documents"])
    pairs = np.repeat(queries, len(passages)), np.tile(passages, len(queries))
    expected = teachers[kind].score(toy_collection.queries, toy_collection.corpus, *pairs).reshape(3, 4)
    np.testing.assert_allclose(matrix, expected, atol=1e-5)
    assert np.ptp(expected) > 0.01


def test_a_mean_over_tokens_is_a_mean_here_too(store, toy_collection, monkeypatch):
    scorer = LateInteractionScorer(tiny_sentence_transformer(5), name="M", precision="fp32")
    scorer._frozen.model.similarity_fn_name = "meanmaxsim"
    teacher = TeacherTokens(scorer, toy_collection.queries, toy_collection.corpus)
    teacher.prepare(np.arange(2), np.arange(3))
    label = teacher(np.arange(2), np.arange(3))
    matrix = max_sim(label["teacher_queries"], label["teacher_documents"])
    assert scorer.takes_the_mean and matrix.abs().max() <= 1.0 + 1e-5


def test_texts_are_encoded_once_in_a_fixed_order(teachers, toy_collection, monkeypatch):
    scorer = teachers["late-interaction"]
    asked, encode = [], scorer.encode_tokens
    monkeypatch.setattr(scorer, "encode_tokens", lambda texts, role: asked.append(len(texts)) or encode(texts, role))
    teacher = in_batch_teacher(scorer, toy_collection)
    teacher.prepare(np.arange(4), np.arange(9))
    whole = teacher(np.array([1, 2]), np.array([8, 0]))
    teacher.prepare(np.arange(2), np.arange(5))
    assert asked == [4, 9]
    assert all(torch.equal(whole[name], again) for name, again in teacher(np.array([1, 2]), np.array([8, 0])).items())


OPTIONS = {
    "candidates": "in-batch",
    "mini_batch_size": 5,
    "filter_false_negatives": "relative",
    "filter_margins": [-0.5],
    "num_iterations": 1,
    "regression_epochs": 0.0,
    "max_steps": 3,
    "queries_per_iteration": 16,
    "learning_rate": 1e-3,
}


def trainer_of(folder, store, collection, teacher, **changes):
    assistants = [BM25(store=store)]
    return toy_trainer(
        folder, None, collection, store=store, teacher=teacher, assistants=assistants, **OPTIONS | changes
    )


def learn(trainer, *callbacks):
    trainer.distillation.callbacks = callbacks
    trainer.distillation.learn()
    return trainer.distillation.journal.result("iteration-00/train", Trained)


def test_a_run_trains_and_one_that_is_killed_ends_the_same(toy_collection, tmp_path, store, teachers):
    teacher = teachers["late-interaction"]
    trained = learn(trainer_of(tmp_path / "whole", store, toy_collection, teacher), DiesAtStep(10**6))
    assert trained.loss["last"] > 0 and trained.alpha == 1.0 and trained.selected == {}
    assert trained.trained_with["config"]["candidates"] == "in-batch"
    assert "relative_margin=[-0.5]" in trained.trained_with["config"]["in_batch_filter"]
    with pytest.raises(KeyboardInterrupt):
        learn(trainer_of(tmp_path / "out", store, toy_collection, teacher), DiesAtStep(2))
    learn(trainer_of(tmp_path / "out", store, toy_collection, teacher))
    assert_same(*(weights(tmp_path / folder / "iteration-00/student") for folder in ("whole", "out")))


def test_no_forward_pass_has_more_texts_than_asked_for(toy_collection, tmp_path, store, teachers, monkeypatch):
    sizes, embed = [], CachedListwiseKLLoss.embed_minibatch

    def watched(loss, **named):
        found = embed(loss, **named)
        sizes.append(len(found[0]))
        return found

    monkeypatch.setattr(CachedListwiseKLLoss, "embed_minibatch", watched)
    changes = {"mini_batch_size": 3, "max_steps": 1, "per_device_train_batch_size": 16}
    learn(trainer_of(tmp_path / "out", store, toy_collection, teachers["bi-encoder"], **changes))
    assert max(sizes) == 3 and sum(sizes) > 2 * 16


@pytest.mark.parametrize(
    ("teacher", "changes", "said"),
    [
        ("cross-encoder", {}, r"a bi-encoder or late-interaction model .* got 'C' \(cross-encoder\)"),
        ("bi-encoder", {"alpha": 0.5}, "no alpha .* the teacher alone"),
        ("bi-encoder", {"filter_false_negatives": "similarity", "filter_margins": None}, "relative or absolute"),
        ("bi-encoder", {"loss": "margin-mse"}, "a loss that supports candidates=in-batch"),
        ("bi-encoder", {"loss": "mnrl", "candidates": "list"}, "a loss that supports mini_batch_size=5"),
    ],
)
def test_what_whole_batches_cannot_do_is_refused_before_anything_runs(
    toy_collection, tmp_path, store, teachers, teacher, changes, said
):
    known = teachers | {"cross-encoder": CrossEncoderScorer(tiny_cross_encoder(1), name="C", store=store)}
    with pytest.raises(InputError, match=said):
        trainer_of(tmp_path / "out", store, toy_collection, known[teacher], **changes)
    assert not (tmp_path / "out" / "state.json").exists()


def test_lists_are_as_they_were(tmp_path, toy_collection, teachers):
    arguments = toy_arguments(tmp_path / "out")
    check_in_batch(arguments, BM25())
    named = {"collection": toy_collection, "teacher": teachers["bi-encoder"], "assistants": [], "student": "s"}
    identity = run_identity(arguments, {}, **named)
    assert "candidates" not in identity and identity["mini_batch_size"] is None
    changed = run_identity(toy_arguments(tmp_path / "out", candidates="in-batch"), {}, **named)
    assert changed["candidates"] == "in-batch"
    loss = ListwiseKLLoss(tiny_sentence_transformer(1))
    assert "candidates" not in loss.get_config_dict()
