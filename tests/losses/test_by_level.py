"""Losses that look into layers by their words: what each is made of, and the options that reach it."""

from __future__ import annotations

import inspect

import pytest
import torch

from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses import (
    LOSSES,
    AttentionMSELoss,
    FilteredContrastiveLoss,
    HiddenStateMSELoss,
    LayerDistillationLoss,
    MultiLevelDistillationLoss,
    find_loss,
)
from st_mta.losses.factory import LOSS_OPTIONS
from st_mta.losses.word_level import WordLevelLoss
from tests.losses.conftest import features_of
from tests.losses.test_by_name import OPTIONS
from tests.losses.word_level.test_word_level import flat
from tests.tiny import tiny_cross_encoder, tiny_sentence_transformer

LEVELS = ("filtered-contrastive", "attention-mse", "hidden-state-mse", "multi-level", "lead")


@pytest.fixture(scope="module")
def teacher():
    return tiny_cross_encoder(seed=3, layers=3, dim=48)


@pytest.fixture
def targets():
    return AssistantTargets(["a"], [2.0, 3.0])


def make(word, student, targets, teacher, /, **chosen):
    torch.manual_seed(0)
    return find_loss(word)(student, targets, chosen=chosen, teacher=teacher, **OPTIONS)


def value_of(loss, student):
    features, label = flat(student)
    scores = torch.randn(*label["index"].shape, generator=torch.Generator().manual_seed(0))
    label = label | {"scores": torch.stack([scores, -scores], dim=1)}
    generator = torch.Generator().manual_seed(1)
    for name, column in (("query_targets", features[:1]), ("document_targets", features[1:])):
        label[name] = torch.randn(sum(len(one["input_ids"]) for one in column), 32, generator=generator)
    value = loss(features, label)
    return sum(value.values()) if isinstance(value, dict) else value


@pytest.mark.parametrize("word", LEVELS)
def test_every_level_trains_the_student_from_the_batches_of_a_run(word, student, targets, teacher):
    value = value_of(make(word, student, targets, teacher), student)
    value.backward()
    assert value > 0 and sum(weight.grad is not None for weight in student.parameters()) > 5


def test_who_reads_layers():
    assert [word for word in LOSSES if find_loss(word).reads] == list(LEVELS[1:])
    assert all("reader" in find_loss(word).options and "teacher" not in find_loss(word).options for word in LEVELS[1:])


CHANGED = {
    "filtered-contrastive": {
        "relative_margin": [-9.0], "absolute_margin": -9.0, "temperature": 2.0, "contrastive_scale": 5.0
    },
    "attention-mse": {"variant": "self", "distance": "kl", "layers": [[1, 1]], "num_candidates": None},
    "hidden-state-mse": {"projection": "orthogonal", "normalize": False, "layers": [[1, 1]], "num_candidates": None},
    "multi-level": {
        "sentence_weight": 3.0, "word_weight": 2.0, "word": ["hidden-states"], "divergence": "reverse-kl",
        "variant": "self", "distance": "mse", "layers": "uniform", "num_candidates": None, "relative_margin": -9.0,
        "absolute_margin": -9.0, "temperature": 2.0, "balance_every": 1, "contrastive_scale": 5.0,
    },
    "lead": {
        "layer_weight": 3.0, "num_layers": 1, "match": "closest", "teacher_scale": 0.5, "weight_temperature": 0.1,
        "seed": 3, "contrastive_scale": 5.0,
    },
}  # fmt: skip


@pytest.mark.parametrize(("word", "name"), [(word, name) for word, options in CHANGED.items() for name in options])
def test_every_option_has_an_effect(word, name, student, targets, teacher):
    plain, changed = (make(word, student, targets, teacher, **chosen) for chosen in ({}, {name: CHANGED[word][name]}))
    assert value_of(plain, student) != value_of(changed, student)


@pytest.mark.parametrize("word", CHANGED)
def test_these_are_all_the_options_there_are(word):
    without_effect_here = {"min_coverage", "reader", "projection", "normalize", "filter_steps"}
    assert set(find_loss(word).options) - without_effect_here == set(CHANGED[word]) - without_effect_here


def test_the_combination_is_made_of_the_levels_with_the_runs_weights(student, targets, teacher):
    chosen = {"word": ["attention", "hidden-states"], "word_weight": 0.25, "relative_margin": 0.1, "temperature": 2.0}
    loss = make("multi-level", student, targets, teacher, **chosen)
    assert isinstance(loss, MultiLevelDistillationLoss) and loss.return_components
    assert loss.weights == {"contrastive": 0.2, "sentence": 1.0, "attention": 0.25, "hidden-states": 0.25}
    assert isinstance(loss.word["attention"], AttentionMSELoss) and loss.word["attention"].teacher is teacher
    assert isinstance(loss.word["hidden-states"], HiddenStateMSELoss)
    assert loss.contrastive.filter == DynamicFilter(0.1, 0.0, 2.0) and loss.contrastive.scale == 20.0
    assert (loss.sentence.scale, loss.sentence.alpha, loss.sentence.regression_weight) == (2.0, 0.3, 1.0)
    assert loss.sentence.targets is targets and loss.sentence.contrastive_weight == 0
    loss.alpha = 0.9
    assert loss.sentence.alpha == loss.alpha == 0.9


def test_a_bi_encoder_teaches_hidden_states_word_by_word(student, targets):
    bi_encoder = tiny_sentence_transformer(seed=3, dim=48)
    assert list(make("multi-level", student, targets, bi_encoder).word) == ["hidden-states"]
    with pytest.raises(InputError, match="a CrossEncoder as teacher of AttentionMSELoss"):
        make("attention-mse", student, targets, bi_encoder)


def test_a_word_level_of_another_name_is_refused(student, targets, teacher):
    with pytest.raises(InputError, match="word to be one of attention, hidden-states"):
        make("multi-level", student, targets, teacher, word=["heads"])


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("filtered-contrastive", FilteredContrastiveLoss),
        ("attention-mse", AttentionMSELoss),
        ("hidden-state-mse", HiddenStateMSELoss),
        ("lead", LayerDistillationLoss),
    ],
)
def test_defaults_are_those_of_the_class(word, kind):
    """But for the filter, which is an object there."""
    own = {}
    for base in (kind, WordLevelLoss if issubclass(kind, WordLevelLoss) else kind):
        own |= {name: one.default for name, one in inspect.signature(base.__init__).parameters.items()}
    own |= {name: one.default for name, one in inspect.signature(DynamicFilter).parameters.items()}
    for name, one in inspect.signature(LOSSES[word]).parameters.items():
        if name not in ("student", "targets", "teacher", "contrastive_scale", *LOSS_OPTIONS):
            assert one.default == own[name], name


def test_it_is_the_class_with_the_same_arguments(student, targets, teacher):
    features = features_of(student)
    by_word = make("attention-mse", student, targets, teacher, variant="self", layers="uniform")
    by_class = AttentionMSELoss(student, teacher=teacher, variant="self", layers="uniform")
    assert by_word(features) == by_class(features)
