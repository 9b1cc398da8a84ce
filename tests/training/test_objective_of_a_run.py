"""The objective of a run: its options, what it refuses, and that runs begun before it had a name go on."""

from __future__ import annotations

import pytest

from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss, find_loss
from st_mta.recipes.distill import DistillConfig, training_arguments
from st_mta.training.loss import check_loss_supports, identity_of_loss, identity_of_own_functions, loss_of_run
from st_mta.training.settled import Settled
from tests.losses import own_losses
from tests.tiny import tiny_sentence_transformer
from tests.training.toy_run import toy_arguments

OWN = "tests.losses.own_losses"
NEEDED = {"collection": "pydocs", "teacher": "bm25", "student": "minilm", "output_dir": "out"}


@pytest.fixture(scope="module")
def student():
    return tiny_sentence_transformer(1)


def made(student, *, loss=None, **changes):
    """The loss of a run, checked as a run checks it."""
    arguments = toy_arguments("unused", **changes)
    factory = find_loss(arguments.loss if loss is None else loss)
    made = loss_of_run(factory, arguments, Settled("cpu", False, 0.0), loss=loss)
    found = made(student, AssistantTargets(["a"], [2.0, 3.0]))
    check_loss_supports(found, factory, arguments)
    return found


def test_arguments_reach_the_loss(student):
    options = {"objective_options": {"weights": "confidence"}, "query_weights": "error"}
    loss = made(student, objective="plackett-luce", **options)
    assert (loss.objective, loss.objective_options, loss.query_weights) == ("plackett-luce", *options.values())
    assert made(student, loss="plackett_luce").objective == "plackett-luce"
    assert made(student).objective == "kl"


def test_the_command_line_has_them_too():
    config = DistillConfig(**NEEDED, objective="lambda", objective_options={"top": 10}, query_weights="confidence")
    arguments = training_arguments(config)
    assert (arguments.objective, arguments.objective_options, arguments.query_weights) == (
        "lambda",
        {"top": 10},
        "confidence",
    )
    with pytest.raises(InputError, match="write 'top' instead"):
        DistillConfig(**NEEDED, objective="lambda", objective_options={"tpo": 10})
    with pytest.raises(InputError, match="compares lists by an objective"):
        DistillConfig(**NEEDED, loss="mnrl", objective="lambda")


def test_a_loss_without_an_objective_refuses_one(student):
    """It has one of its own, which the run's would not replace."""
    with pytest.raises(InputError, match="a loss that supports objective=js, got ListwiseKLLoss"):
        made(student, loss=own_losses.own_factory, objective="js")
    with pytest.raises(InputError, match="query_weights=error"):
        made(student, loss=own_losses.own_factory, query_weights="error")
    assert made(student, loss=own_losses.takes_all, objective="js").objective == "js"


@pytest.mark.parametrize("given", [{"alpha": 0.3}, {"alpha_end": 0.2}], ids=lambda one: next(iter(one)))
def test_alpha_weighs_nothing_where_the_teacher_is_alone(student, given):
    with pytest.raises(InputError, match="no alpha for objective 'bce'"):
        made(student, objective="bce", **given)
    assert made(student, objective="bce", alpha=1.0).of_teacher_alone
    assert made(student, objective="js", **given).objective == "js"


@pytest.mark.parametrize(
    "given",
    [{"objective": "bce"}, {"candidates": "in-batch"}, {"loss": "margin-mse"}, {"exits": [1]}],
    ids=lambda one: next(iter(one)),
)
def test_a_bandit_that_would_learn_nothing_is_refused(student, given):
    with pytest.raises(InputError, match="for selection='bandit'"):
        made(student, selection="bandit", **given)
    assert made(student, selection="bandit").objective == "kl"
    assert made(student, selection="kl", **given) is not None


def test_a_run_begun_under_the_former_name_goes_on(student):
    """What its journal knows it by, word for word; arguments that are None are as if they were not there."""
    loss = ListwiseKLLoss(student, scale=2.0, alpha=0.25)
    plain = {"alpha": 0.25, "contrastive_weight": 0.0, "contrastive_scale": 2.0, "regression_weight": 0.0}
    assert identity_of_loss(loss)["config"] == {
        "similarity_fct": "cos_sim",
        "scale": 2.0,
        "divergence": "kl",
        "teacher_temperature": 1.0,
        **plain,
    }
    attributes = identity_of_loss(loss)["attributes"]
    assert attributes["divergence"] == "kl" and not attributes.keys() & {"objective", "query_weights"}
    arguments = toy_arguments("unused")
    assert (arguments.objective, arguments.objective_options, arguments.query_weights) == (None, None, None)


def test_another_objective_is_another_run(student):
    changes = ({}, {"objective": "bce"}, {"objective": "lambda"}, {"query_weights": "error"})
    changes += ({"objective": "lambda", "objective_options": {"top": 3}},)
    described = [identity_of_loss(made(student, **one)) for one in changes]
    assert all(described.count(one) == 1 for one in described)
    own = identity_of_own_functions(toy_arguments("unused", objective=f"{OWN}:brier"))
    assert own.keys() == {"objective"}
