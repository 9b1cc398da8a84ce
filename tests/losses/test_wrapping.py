"""The loss inside the host: its forward, its wrappers, its trainer, and two processes."""

from __future__ import annotations

import json

import pytest
import torch
import torch.multiprocessing
from sentence_transformers.base.losses import CachedLossMixin
from sentence_transformers.sentence_transformer.losses import AdaptiveLayerLoss, MatryoshkaLoss
from torch.nn import functional as F

from st_mta.errors import InputError
from st_mta.losses import EmbeddingDistillationLoss, FilteredContrastiveLoss, ListwiseKLLoss
from tests.losses.conftest import LABEL, PASSAGES, QUERIES, features_of, stock_trainer
from tests.losses.two_processes import shard_gradient


def column_inputs(model, scorers=2):
    label = torch.tensor(LABEL)
    label = torch.stack([label, label.flip(0)], dim=1)[:, :scorers]
    label[1, -1, 2] = torch.nan
    return features_of(model), label


def flat_inputs(model):
    """The same batch with one documents column, query by query."""
    _, label = column_inputs(model)
    positive = torch.zeros(4, 3, dtype=torch.bool)
    positive[:, 0] = True
    features = [model.preprocess(QUERIES), model.preprocess([passage for row in PASSAGES for passage in row])]
    return features, {"scores": label, "index": torch.arange(12).reshape(4, 3), "positive": positive}


def several_flat_inputs(model):
    """The same batch with its documents in columns of five, five and two."""
    _, label = flat_inputs(model)
    texts = [passage for row in PASSAGES for passage in row]
    columns = [QUERIES, texts[:5], texts[5:10], texts[10:]]
    return [model.preprocess(column) for column in columns], label


INPUTS = {"columns": column_inputs, "flat": flat_inputs, "several flat": several_flat_inputs}


def gradient(loss, features, label):
    loss.model.zero_grad()
    value = loss(features, label)
    value.backward()
    return value.item(), torch.cat([p.grad.flatten() for p in loss.model.parameters() if p.grad is not None])


@pytest.mark.parametrize("form", ["flat", "several flat"])
def test_both_forms_give_the_same_value_and_gradient_through_the_model(student, form):
    loss = ListwiseKLLoss(student, contrastive_weight=0.2)
    (value, slope), (flat_value, flat_slope) = (gradient(loss, *INPUTS[f](student)) for f in ("columns", form))
    assert value == pytest.approx(flat_value, rel=1e-5) and value > 0
    torch.testing.assert_close(slope, flat_slope, atol=1e-5, rtol=1e-4)
    assert slope.abs().max() > 1e-3


def test_flat_columns_are_embedded_one_by_one_and_candidate_columns_together(student, monkeypatch):
    # Flat columns hold passages of like length each: merged, all would be padded to the longest.
    rows = []
    forward = student.forward
    monkeypatch.setattr(
        student, "forward", lambda features: rows.append(len(features["input_ids"])) or forward(features)
    )
    loss = ListwiseKLLoss(student)
    loss(*column_inputs(student))
    assert rows == [4, 12]
    rows.clear()
    features, label = flat_inputs(student)
    texts = [passage for row in PASSAGES for passage in row]
    loss([features[0], *(student.preprocess(texts[start : start + 4]) for start in (0, 4, 8))], label)
    assert rows == [4, 4, 4, 4]


def test_components_are_the_weighted_terms_of_the_loss(student):
    features, label = column_inputs(student)
    options = {"alpha": 0.3, "contrastive_weight": 0.1}
    terms = ListwiseKLLoss(student, **options, return_components=True)(features, label)
    assert list(terms) == ["kl_teacher", "kl_assistant", "contrastive"]
    assert sum(terms.values()).item() == pytest.approx(ListwiseKLLoss(student, **options)(features, label).item())
    assert list(ListwiseKLLoss(student, return_components=True)(features, label[:, 0])) == ["kl_teacher"]


@pytest.mark.parametrize("form", INPUTS)
def test_matryoshka_sums_the_loss_of_every_dimension(student, form):
    features, label = INPUTS[form](student)
    inner = ListwiseKLLoss(student, contrastive_weight=0.2)
    value, slope = gradient(MatryoshkaLoss(student, inner, [32, 8], [1.0, 0.5]), features, label)
    embeddings = [student(column)["sentence_embedding"] for column in features]
    expected = sum(
        weight
        * inner.compute_loss_from_embeddings([F.normalize(e[:, :dim], dim=-1) for e in embeddings], label).item()
        for dim, weight in ((32, 1.0), (8, 0.5))
    )
    assert value == pytest.approx(expected, rel=1e-5)
    assert slope.isfinite().all() and slope.abs().max() > 0


def test_a_label_that_matryoshka_takes_for_embeddings_is_refused_with_the_way_out(student):
    features = [student.preprocess(["a cat"]) for _ in range(33)]
    wrapped = MatryoshkaLoss(student, ListwiseKLLoss(student), [32, 8])
    with pytest.raises(InputError, match="MatryoshkaLoss .* the flat form"):
        wrapped(features, torch.zeros(1, 32))


class CachedListwiseKLLoss(CachedLossMixin, ListwiseKLLoss):
    """A gradient-cached loss as the host builds them, on the composition contract alone."""

    mini_batch_size = 3

    def forward(self, sentence_features, labels):
        return self.forward_cached(sentence_features, labels)

    def calculate_loss(self, reps, labels=None, *, with_backward=False):
        loss = self.compute_loss_from_embeddings([torch.cat(column) for column in reps], labels)
        if with_backward:
            loss.backward()
            loss = loss.detach()
        return loss


@pytest.mark.parametrize("form", INPUTS)
def test_a_cached_loss_built_on_it_has_the_same_gradient(student, form):
    features, label = INPUTS[form](student)
    value, slope = gradient(ListwiseKLLoss(student, contrastive_weight=0.2), features, label)
    cached_value, cached_slope = gradient(CachedListwiseKLLoss(student, contrastive_weight=0.2), features, label)
    assert cached_value == pytest.approx(value, rel=1e-5)
    torch.testing.assert_close(cached_slope, slope, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "options", [{}, {"contrastive_weight": 0.1, "return_components": True}], ids=["scalar", "components"]
)
def test_a_stock_trainer_lowers_it(student, tmp_path, options):
    label = [[list(row), row[::-1]] for row in LABEL]
    label[2][0][2] = float("nan")
    loss = ListwiseKLLoss(student, **options)
    trainer = stock_trainer(student, loss, tmp_path, label=label, max_steps=3)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    losses = [entry["loss"] for entry in logged]
    assert all(torch.tensor(losses).isfinite()) and losses[2] < 0.9 * losses[0]
    if options:
        terms = ("kl_teacher", "kl_assistant", "contrastive")
        assert sum(logged[0][term] for term in terms) == pytest.approx(losses[0], abs=1e-3)
    json.dumps(loss.get_config_dict())


def test_two_processes_have_the_gradient_of_one(tmp_path):
    # Both are forked from one clean process that has done the slow imports.
    torch.multiprocessing.get_context("forkserver").set_forkserver_preload(["tests.losses.two_processes"])
    context = torch.multiprocessing.start_processes(
        shard_gradient, args=(2, str(tmp_path)), nprocs=2, start_method="forkserver", join=False
    )
    shard_gradient(0, 1, str(tmp_path))
    while not context.join():
        pass
    alone = torch.load(tmp_path / "gradient-0-of-1.pt")
    first, second = (torch.load(tmp_path / f"gradient-{rank}-of-2.pt") for rank in range(2))
    assert len(alone) == 23 and all(gradient.abs().max() > 1e-3 for gradient in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(first[name], second[name], atol=1e-6, rtol=1e-5)
        if not name.endswith("balanced"):
            torch.testing.assert_close(first[name], gradient, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("loss", [ListwiseKLLoss, FilteredContrastiveLoss, EmbeddingDistillationLoss])
@pytest.mark.parametrize(
    "wrap", [lambda m, loss: MatryoshkaLoss(m, loss, [32, 8]), AdaptiveLayerLoss], ids=["dims", "layers"]
)
def test_a_wrapper_around_components_is_refused_with_the_way_out(student, loss, wrap):
    features, label = column_inputs(student)
    label = torch.ones(4, 4, 32) if loss is EmbeddingDistillationLoss else label
    wrapped = wrap(student, loss(student, return_components=True))
    with pytest.raises(InputError, match="return_components=False"):
        wrapped(features, label)
