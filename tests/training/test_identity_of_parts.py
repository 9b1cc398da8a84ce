"""Functions by their source, checkpoints by the evaluation that chooses them, weights that a loss must have."""

from __future__ import annotations

import sys
from functools import partial

import pytest
import torch
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.losses import MarginMSELoss

from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator
from st_mta.losses import ListwiseKLLoss
from st_mta.training.best_checkpoint import what_a_best_checkpoint_depends_on
from st_mta.training.loss import identity_of_own_functions
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments, toy_trainer

SOURCE = """
import torch
def distance(student_logits, target_log_probs, mask):
    return {factor} * (student_logits.masked_fill(~mask, 0.0) ** 2).sum(-1)

def make(student, targets):
    from st_mta.losses import ListwiseKLLoss
    return ListwiseKLLoss(student, targets=targets, alpha={factor} / 10)

def fuse(scores, memberships, mask):
    return {factor} * torch.einsum("ca,qan->qcn", memberships / memberships.sum(1, keepdim=True), scores)
"""
BEST = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True}


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)

    def write(factor):
        (tmp_path / "own_parts.py").write_text(SOURCE.format(factor=factor) + "\n" * factor)
        sys.modules.pop("own_parts", None)

    yield write
    sys.modules.pop("own_parts", None)


@pytest.mark.parametrize("name, place", [("loss", "distance"), ("loss", "make"), ("fusion", "fuse")])
def test_a_function_named_in_the_arguments_counts_by_its_source(own_module, tmp_path, name, place):
    def digest(factor):
        own_module(factor)
        return identity_of_own_functions(toy_arguments(tmp_path, **{name: f"own_parts:{place}"}))

    assert digest(1) == digest(1) != digest(2)
    assert list(digest(1)) == [name]
    assert identity_of_own_functions(toy_arguments(tmp_path)) == {}


def test_it_is_part_of_a_runs_identity(own_module, toy_collection, tmp_path):
    def functions():
        run = toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, loss="own_parts:distance").distillation
        return run.journal._record["configuration"]["own_functions"]

    own_module(1)
    before = functions()
    own_module(2)
    assert before.keys() == functions().keys() == {"loss"} and before != functions()


def make(student, targets, weights=None, **options):
    return ListwiseKLLoss(student, targets=targets)


def closure(weights):
    return lambda student, targets: make(student, targets, weights)


def around(weights):
    inner = closure(weights)
    return lambda student, targets: inner(student, targets)


class Maker:
    def __init__(self, weights):
        self.weights = weights

    def __call__(self, student, targets):
        return make(student, targets, self.weights)


@pytest.mark.parametrize("factory", [lambda weights: partial(make, weights=weights), closure, around, Maker])
@pytest.mark.parametrize(
    "one, other", [(1.0, 2.0), ({"a": 1}, {"a": 2}), (torch.tensor([1.0]), torch.tensor([2.0])), ([[1], 2], [[1], 3])]
)
def test_what_a_function_of_ones_own_holds_is_part_of_a_runs_identity(toy_collection, tmp_path, factory, one, other):
    def identity(weights):
        run = toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, loss=factory(weights)).distillation
        return run.journal._record["configuration"]["loss"]

    assert identity(one) == identity(one) != identity(other)


@pytest.mark.parametrize("loss", ["margin-mse", MarginMSELoss, "distill-kl-div", "mnrl", "embed-distill"])
@pytest.mark.parametrize("given", [{"alpha": 0.3}, {"contrastive_weight": 0.7}])
def test_a_weight_that_the_loss_does_not_have_is_refused(toy_collection, tmp_path, loss, given):
    with pytest.raises(InputError, match=f"a loss that supports {next(iter(given))}="):
        weight = 1.0 if loss == "embed-distill" else 0.0
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, loss=loss, regression_weight=weight, **given)


def test_a_scale_that_the_loss_does_not_have_is_refused(toy_collection, tmp_path):
    options = {"loss": "embed-distill", "regression_weight": 1.0}
    with pytest.raises(InputError, match=r"supports scale=5\.0"):
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, scale=5.0, **options)
    for loss in ("margin-mse", "mnrl", "kl"):
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, scale=5.0, loss=loss)


def test_no_contrastive_term_is_what_a_loss_without_one_has(toy_collection, tmp_path):
    toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, loss="margin-mse", contrastive_weight=0.0)


# The best checkpoint


@pytest.mark.parametrize("metric", [None, "eval_loss", "loss", "eval_toy_dev_ndcg@11"])
def test_a_measure_that_no_evaluation_gives_is_refused_at_once(toy_collection, tmp_path, metric):
    name = f"eval_{toy_collection.name}_dev_"
    with pytest.raises(InputError, match=f"metric_for_best_model='{name}"):
        toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, metric_for_best_model=metric, **BEST)


def test_the_best_by_a_known_measure_is_accepted(toy_collection, tmp_path):
    metric = f"eval_{toy_collection.name}_dev_ndcg@10"
    toy_trainer(tmp_path / "o", tmp_path / "s", toy_collection, metric_for_best_model=metric, **BEST)


class Own(BaseEvaluator):
    def __init__(self, weight):
        super().__init__()
        self.weight = weight


def test_what_chooses_the_best_checkpoint_is_part_of_the_identity(toy_collection, tmp_path):
    def described(evaluator=None, **changes):
        evaluator = evaluator or CollectionEvaluator(toy_collection, "dev")
        arguments = toy_arguments(tmp_path, **{**BEST, "metric_for_best_model": "x", **changes})
        return what_a_best_checkpoint_depends_on(arguments, evaluator)

    assert described() == described()
    assert described(save_steps=4) != described()
    assert described(CollectionEvaluator(toy_collection, "dev", depth=5)) != described()
    assert described(Own(1)) == described(Own(1)) != described(Own(2))
    assert described(load_best_model_at_end=False) == {}


# Divergences


def nothing(student_logits, target_log_probs, mask):
    return None


def plain_number(student_logits, target_log_probs, mask):
    return 0.5


def not_a_number(student_logits, target_log_probs, mask):
    return (target_log_probs.exp() * (target_log_probs - student_logits)).sum(-1) * torch.nan


@pytest.mark.parametrize(
    "divergence, said", [(nothing, "None, which is no tensor"), (plain_number, "0.5, which"), (not_a_number, "NaN in")]
)
def test_a_divergence_that_gives_no_numbers_is_refused_in_the_first_step(divergence, said):
    student = tiny_sentence_transformer(1)
    loss = ListwiseKLLoss(student, divergence=divergence)
    columns = [student.preprocess([text, text]) for text in ("the cat", "a cat", "the sea")]
    with pytest.raises(InputError, match=f"objective '{divergence.__name__}'.*{said}"):
        loss(columns, torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
