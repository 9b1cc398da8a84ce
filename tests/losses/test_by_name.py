"""Words give losses that train, say which options they support, and are refused early where there is no such loss."""

from __future__ import annotations

import json

import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MarginMSELoss
from sentence_transformers.util import pairwise_cos_sim, pairwise_dot_score

from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.losses import (
    LOSSES,
    OBJECTIVES,
    CachedFilteredContrastiveLoss,
    CachedListwiseKLLoss,
    HostLoss,
    ListwiseKLLoss,
    check_loss,
    find_loss,
)
from st_mta.losses.embedding import EmbeddingDistillationLoss
from st_mta.losses.factory import LOSS_OPTIONS
from tests import reference
from tests.losses import own_losses
from tests.losses.conftest import flat_batch
from tests.tiny import tiny_sentence_transformer

OWN = "tests.losses.own_losses"
OPTIONS = {
    "alpha": 0.3,
    "scale": 2.0,
    "contrastive_scale": 20.0,
    "contrastive_weight": 0.2,
    "regression_weight": 1.0,
    "return_components": True,
}

BY_EMBEDDINGS = [word for word in LOSSES if not find_loss(word).reads]
"""Those that look into the layers of a teacher are in test_by_level.py."""


WITHOUT_EFFECT = {
    # Nothing stands beside these two that their weight would be weighed against.
    "embed-distill": {"regression_weight"},
    "embedding": {"regression_weight"},
    "pearson": {"scale"},
    "bce": {"alpha"},
}


@pytest.fixture
def targets():
    return AssistantTargets(["a"], [2.0, 3.0])


WHOLE_BATCHES = {"candidates", "in_batch_filter", "mini_batch_size"}


def value_of(loss, flat, label):
    value = loss.compute_loss_from_embeddings(flat.embeddings, label)
    gradients = torch.autograd.grad(value, flat.embeddings)
    assert all(gradient.isfinite().all() for gradient in gradients) and any(g.abs().max() > 0 for g in gradients)
    return value.item()


@pytest.mark.parametrize("word", BY_EMBEDDINGS)
def test_every_word_makes_a_loss_that_trains_under_autocast_too(word, student, targets):
    width = 32 if word == "heads" else 64  # its matrices are as wide as the student
    flat = flat_batch(0, dim=width, dtype=torch.float32)
    loss = find_loss(word)(student, targets, **OPTIONS)
    expected = value_of(loss, flat, flat.with_targets(9))
    assert expected > 0
    with torch.autocast("cpu", torch.bfloat16):
        assert value_of(loss, flat, flat.with_targets(9)) == expected
    narrow = [embedding.detach().bfloat16().requires_grad_() for embedding in flat.embeddings]
    value = loss.compute_loss_from_embeddings(narrow, flat.with_targets(9)).item()
    assert value == pytest.approx(expected, rel=0.03)
    wide = [embedding.detach().float() for embedding in narrow]
    assert value == loss.compute_loss_from_embeddings(wide, flat.with_targets(9)).item()
    json.dumps(loss.get_config_dict())
    assert loss.citation.startswith("\n@")


@pytest.mark.parametrize("word", BY_EMBEDDINGS)
def test_an_option_has_an_effect_if_and_only_if_it_is_supported(word, student, targets):
    flat, make = flat_batch(0, dtype=torch.float32), find_loss(word)
    others = {
        "alpha": 0.9, "scale": 7.0, "contrastive_scale": 3.0, "contrastive_weight": 0.9, "regression_weight": 4.0
    }  # fmt: skip
    assert make.supports <= LOSS_OPTIONS
    before = value_of(make(student, targets, **OPTIONS), flat, flat.with_targets(9))
    for name, value in others.items():
        after = value_of(make(student, targets, **OPTIONS | {name: value}), flat, flat.with_targets(9))
        assert (after != before) == (name in make.supports and name not in WITHOUT_EFFECT.get(word, ())), name


def test_what_is_supported():
    listwise = OBJECTIVES.keys() - {"margin-mse"}  # as a loss it is the host's
    assert all(find_loss(word).supports == LOSS_OPTIONS for word in listwise)
    supported = {word: set(find_loss(word).supports) for word in LOSSES if word not in listwise}
    assert supported == {
        "margin-mse": {"scale"},
        "distill-kl-div": {"scale"},
        "embed-distill": {"regression_weight"},
        "mnrl": {"contrastive_scale"},
        "filtered-contrastive": {"contrastive_scale", "mini_batch_size"},
        "attention-mse": set(),
        "hidden-state-mse": set(),
        "multi-level": LOSS_OPTIONS - {"regression_terms", "regression_map", *WHOLE_BATCHES},
        "lead": LOSS_OPTIONS - WHOLE_BATCHES,
        "heads": LOSS_OPTIONS - WHOLE_BATCHES,
        "embedding": {"regression_weight", "return_components"},
    }
    assert set(find_loss(own_losses.own_factory).supports) == {"alpha"}
    assert find_loss(own_losses.takes_all).supports == find_loss(own_losses.brier).supports == LOSS_OPTIONS


def test_embed_distill_asks_for_the_embeddings_it_needs(student, targets):
    with pytest.raises(InputError, match="regression_weight of loss 'embed-distill' to be positive"):
        find_loss("embed-distill")(student, targets, regression_weight=0.0)
    flat = flat_batch(0)
    with pytest.raises(InputError, match="query_targets and document_targets"):
        find_loss("embed-distill")(student, targets).compute_loss_from_embeddings(flat.embeddings, flat.label)


def test_embedding_is_the_class_over_the_embeddings_of_a_run(student, targets):
    flat, terms = flat_batch(0, dim=32, dtype=torch.float32), {"cosine": 1.0, "gram": 20.0}
    chosen = {"terms": terms, "matryoshka_dims": [32, 16]}
    made = find_loss("embedding")(student, targets, chosen=chosen, regression_weight=3.0)
    plain = EmbeddingDistillationLoss(student, map="none", **chosen)
    value = made.compute_loss_from_embeddings(flat.embeddings, flat.with_targets(9))
    assert value == plain.compute_loss_from_embeddings(flat.embeddings, flat.with_targets(9))
    less = find_loss("embedding")(student, targets, chosen={"terms": {"cosine": 1.0}})
    assert value != less.compute_loss_from_embeddings(flat.embeddings, flat.with_targets(9))
    with pytest.raises(InputError, match="regression_weight of loss 'embedding' to be positive"):
        find_loss("embedding")(student, targets, regression_weight=0.0)


def test_margin_mse_asks_for_margins_of_calibrated_logits_in_the_students_unit(targets):
    student = tiny_sentence_transformer(normalize=False, similarity="dot")
    flat = flat_batch(0, width=3)
    flat.index, flat.scores = (
        torch.arange(12)[:, None].expand(-1, 3)[:5] + torch.arange(3),
        flat.scores.nan_to_num(1, 1, 1),
    )
    flat.positive[:] = torch.tensor([True, False, False])
    loss = find_loss("margin-mse")(student, targets, scale=4.0)
    similarities = (flat.queries @ flat.documents.T).gather(1, flat.index)
    expected = reference.margin_mse(similarities.tolist(), (flat.scores[:, 0] / 2.0 / 4.0).tolist())
    assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == pytest.approx(expected, rel=1e-5)
    assert loss.loss.similarity_fct is pairwise_dot_score
    for word in ("margin-mse", "distill-kl-div"):
        assert find_loss(word)(tiny_sentence_transformer(), targets).loss.similarity_fct is pairwise_cos_sim


def test_distill_kl_div_is_the_listwise_kl_from_the_teacher_times_the_temperature_squared(student, targets):
    flat = flat_batch(0, scorers=2)
    host = find_loss("distill-kl-div")(student, targets, scale=4.0)
    own = ListwiseKLLoss(student, targets=targets, alpha=1.0, scale=4.0)
    value = host.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    assert value == pytest.approx(own.compute_loss_from_embeddings(flat.embeddings, flat.label).item() / 16, rel=1e-5)
    assert sum(targets.frequencies().values()) == pytest.approx(1.0)  # of the listwise loss
    host.compute_loss_from_embeddings(flat.embeddings, flat.label)
    assert targets.frequencies() == {}  # the teacher alone selects no assistant


def test_the_users_own_divergence_and_factory(student, targets):
    for loss in (f"{OWN}:brier", own_losses.brier):
        made = find_loss(loss)(student, targets, **OPTIONS)
        assert (
            isinstance(made, ListwiseKLLoss)
            and made.alpha == 0.3
            and made._comparison.objective.compute is own_losses.brier
        )
        assert made.get_config_dict()["objective"] == (loss if isinstance(loss, str) else "brier")
        flat = flat_batch(0)
        terms = made._components(flat.embeddings, flat.with_targets(9))
        assert list(terms) == ["brier_teacher", "brier_assistant", "contrastive", "regression"]
    made = find_loss(f"{OWN}:own_factory")(student, targets, **OPTIONS)
    assert (made.alpha, made.contrastive_weight) == (0.3, 0.25)


def test_a_divergence_of_another_shape_is_refused(student):
    flat = flat_batch(0)
    loss = ListwiseKLLoss(student, divergence=own_losses.summed_over_queries)
    with pytest.raises(InputError, match=r"'summed_over_queries' to return one value per list, \(5, 2\)"):
        loss.compute_loss_from_embeddings(flat.embeddings, flat.label)


def test_a_function_of_another_number_of_arguments_is_refused():
    with pytest.raises(InputError, match="own_losses:takes_one' to take three arguments .* got 1 required"):
        find_loss(f"{OWN}:takes_one")


def test_a_loss_that_is_made_already_is_refused(student):
    for loss in (MarginMSELoss(student), ListwiseKLLoss(student)):
        with pytest.raises(InputError, match=f"got a {type(loss).__name__} that is made already"):
            find_loss(loss)


@pytest.mark.parametrize("word", ["mse", "", None, 3])
def test_unknown_words_are_refused_early(word, student):
    for check in (check_loss, find_loss):
        with pytest.raises(InputError, match="loss to be one of kl, reverse-kl, .*, mnrl or a function"):
            check(word)
    with pytest.raises(InputError, match="objective to be one of kl, reverse-kl, jensen-shannon, .*bce or a function"):
        ListwiseKLLoss(student, objective="nothing" if word is None else word)


@pytest.mark.parametrize("word", LOSSES)
def test_a_check_finds_the_loss(word):
    check_loss(word)


@pytest.mark.parametrize("word", ["not_installed_here:loss", "os:system", "math:hypot"])
def test_a_check_refuses_what_cannot_be_a_loss_and_calls_nothing(word):
    with pytest.raises(InputError, match="loss"):
        check_loss(word)


def test_the_adapter_is_what_the_words_of_the_host_give(student, targets):
    loss = find_loss("margin-mse")(student, targets, **OPTIONS)
    assert isinstance(loss, HostLoss) and isinstance(loss.loss, MarginMSELoss)


def test_whole_batches_and_their_parts_reach_the_loss(student, targets):
    made = find_loss("reverse-kl")(student, targets, candidates="in-batch", mini_batch_size=7, return_components=True)
    assert isinstance(made, CachedListwiseKLLoss) and made.mini_batch_size == 7
    assert (made.candidates, made.objective, made.targets) == ("in-batch", "reverse-kl", targets)
    assert type(find_loss("kl")(student, targets)) is ListwiseKLLoss
    made = find_loss("filtered-contrastive")(student, targets, mini_batch_size=7, contrastive_scale=3.0)
    assert isinstance(made, CachedFilteredContrastiveLoss) and (made.mini_batch_size, made.scale) == (7, 3.0)
