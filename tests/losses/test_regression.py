"""Embedding regression beside the listwise loss equals its formula, and changes nothing where it is left out."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.errors import InputError
from st_mta.losses import ListwiseKLLoss
from st_mta.losses.batch import read_batch
from st_mta.losses.regression import cosine_distance, embedding_regression
from tests import reference
from tests.losses.conftest import column_batch, flat_batch, gradcheck


def regression(flat, label):
    return embedding_regression(read_batch(flat.embeddings, label))


def test_by_hand():
    flat = flat_batch(0, batch=2, documents=3, dim=2, width=2)
    flat.queries = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    flat.documents = torch.tensor([[1.0, 1.0], [3.0, 4.0], [-1.0, 0.0]])
    label = flat.label | {
        "query_targets": torch.tensor([[5.0, 0.0], [1.0, 0.0]]),  # the same direction; a right angle
        "document_targets": torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]),
    }
    expected = (0 + 1) / 2 + (1 - 1 / math.sqrt(2) + 1 - 3 / 5 + 2) / 3
    assert regression(flat, label).item() == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(4))
def test_equals_the_reference(student, seed):
    flat = flat_batch(seed)
    label = flat.with_targets(seed)
    sides = (flat.queries, flat.documents, label["query_targets"], label["document_targets"])
    expected = reference.embedding_regression(*(side.tolist() for side in sides))
    assert regression(flat, label).item() == pytest.approx(expected, abs=1e-12)
    options = {"contrastive_weight": 0.3, "return_components": False}
    values = [
        ListwiseKLLoss(student, regression_weight=weight, **options).compute_loss_from_embeddings(
            flat.embeddings, label
        )
        for weight in (0.7, 0.0)
    ]
    assert (values[0] - values[1]).item() == pytest.approx(0.7 * expected)


def test_gradcheck(student):
    flat = flat_batch(3, batch=3, width=4, documents=7, dim=2)
    assert gradcheck(ListwiseKLLoss(student, scale=2.0, regression_weight=0.5), flat.embeddings, flat.with_targets())


def test_no_gradient_reaches_the_targets(student):
    flat = flat_batch(0)
    label = flat.with_targets()
    label["query_targets"].requires_grad_()
    ListwiseKLLoss(student, regression_weight=0.5).compute_loss_from_embeddings(flat.embeddings, label).backward()
    assert label["query_targets"].grad is None and flat.queries.grad is not None


def test_a_student_at_its_targets_has_no_regression_and_no_gradient():
    flat = flat_batch(1)
    value = regression(
        flat, flat.label | {"query_targets": 3 * flat.queries, "document_targets": flat.documents.detach()}
    )
    value.backward()
    assert value.item() == pytest.approx(0, abs=1e-12) and flat.queries.grad.abs().max() < 1e-12


def test_weight_zero_is_bit_identical(student):
    flat = flat_batch(2, dtype=torch.float32)
    results = []
    for options, label in (({}, flat.label), ({"regression_weight": 0.0}, flat.with_targets())):
        value = ListwiseKLLoss(student, contrastive_weight=0.1, **options).compute_loss_from_embeddings(
            flat.embeddings, label
        )
        results.append((value, *torch.autograd.grad(value, flat.embeddings)))
    assert all(torch.equal(one, other) for one, other in zip(*results))


def test_autocast_does_not_reach_it():
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    label = flat.with_targets()
    expected = regression(flat, label).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert regression(flat, label).item() == expected
    assert cosine_distance(flat.queries.bfloat16(), label["query_targets"]).dtype == torch.float32


def test_it_is_logged_as_a_component(student):
    flat = flat_batch(0)
    loss = ListwiseKLLoss(student, regression_weight=0.5)
    terms = loss._components(flat.embeddings, flat.with_targets())
    assert terms["regression"].item() == pytest.approx(0.5 * regression(flat, flat.with_targets()).item())


def test_a_label_without_targets_is_refused(student):
    loss = ListwiseKLLoss(student, regression_weight=0.5)
    with pytest.raises(InputError, match="query_targets"):
        loss.compute_loss_from_embeddings(flat_batch(0).embeddings, flat_batch(0).label)
    with pytest.raises(InputError, match="query_targets"):
        loss.compute_loss_from_embeddings(*column_batch(0))


def test_targets_of_another_shape_are_refused():
    flat = flat_batch(0)
    label = flat.with_targets()
    with pytest.raises(InputError, match="document_targets"):
        regression(flat, label | {"document_targets": label["document_targets"][:-1]})
    with pytest.raises(InputError, match="query_targets"):
        regression(flat, label | {"query_targets": label["query_targets"][:, :-1]})
