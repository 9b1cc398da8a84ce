"""The filtered contrastive loss equals its formula; filtered negatives have no gradient, and no row runs empty."""

from __future__ import annotations

import logging
import math

import pytest
import torch
from sentence_transformers.util import dot_score
from transformers import TrainerControl, TrainerState

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses import CachedFilteredContrastiveLoss, FilteredContrastiveLoss, FilterSchedule, ListwiseKLLoss
from tests import reference
from tests.losses.conftest import LABEL, SIMILARITIES, column_batch, features_of, flat_batch, gradcheck

FILTERS = {
    "plain": {},
    "relative": {"relative": 0.5},
    "absolute": {"absolute": 2.0},
    "both": {"relative": -0.3, "absolute": 0.5},
    "soft": {"relative": 0.2, "temperature": 1.5},
    "everything": {"absolute": 1e3},
}


def make_filter(relative=0.0, absolute=0.0, temperature=None):
    return DynamicFilter(relative, absolute, temperature)


def plain(tensors):
    return [tensor.tolist() for tensor in tensors]


@pytest.mark.parametrize("in_batch", [False, True], ids=["lists", "in batch"])
@pytest.mark.parametrize("kind", FILTERS)
@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_equals_the_reference(student, similarity, kind, in_batch):
    function, slow = SIMILARITIES[similarity]
    options = FILTERS[kind]
    loss = FilteredContrastiveLoss(student, filter=make_filter(**options), similarity_fct=function, scale=1.5)
    for seed in range(6):
        flat = flat_batch(seed)
        label, teacher = flat.label, {}
        if in_batch:
            generator = torch.Generator().manual_seed(seed)
            embeddings = [torch.randn(n, 3, generator=generator) for n in (len(flat.queries), len(flat.documents))]
            label |= dict(zip(("teacher_queries", "teacher_documents"), embeddings))
            teacher = dict(zip(("teacher_queries", "teacher_documents"), plain(embeddings)))
        expected, rate = reference.filtered_contrastive_loss(
            *plain((flat.queries, flat.documents, flat.scores, flat.index, flat.positive)),
            similarity=slow,
            scale=1.5,
            **options,
            **teacher,
        )
        assert loss.compute_loss_from_embeddings(flat.embeddings, label).item() == pytest.approx(expected, rel=1e-6)
        assert loss.filter_rate.item() == pytest.approx(rate, abs=1e-6)


def test_by_hand(student):
    # The first negative scores 9 > 8 and is filtered; the second one is not: s = (log 3, 5, 0) leaves (3/4, 1/4).
    query = torch.tensor([[1.0]])
    columns = [torch.tensor([[value]]) for value in (math.log(3), 5.0, 0.0)]
    loss = FilteredContrastiveLoss(student, similarity_fct=dot_score, return_components=True)
    value = loss.compute_loss_from_embeddings([query, *columns], torch.tensor([[8.0, 9.0, 1.0]]))
    assert value.item() == pytest.approx(-math.log(3 / 4))
    assert loss.filter_rate.item() == 0.5


def test_without_anything_to_filter_it_is_the_contrastive_term_of_the_listwise_loss(student):
    embeddings, label = column_batch(0)
    with_term, without = (
        ListwiseKLLoss(student, contrastive_weight=weight).compute_loss_from_embeddings(embeddings, label)
        for weight in (1.0, 0.0)
    )
    value = FilteredContrastiveLoss(student, filter=DynamicFilter(absolute_margin=-1e4)) \
        .compute_loss_from_embeddings(embeddings, label)  # fmt: skip
    assert value.item() == pytest.approx((with_term - without).item())


def test_a_filtered_negative_has_exactly_no_gradient_from_its_query(student):
    columns = [torch.randn(2, 4, generator=torch.Generator().manual_seed(i)).requires_grad_() for i in range(4)]
    label = torch.tensor([[8.0, 9.0, 1.0], [8.0, 1.0, 9.0]])
    loss = FilteredContrastiveLoss(student)
    for row, filtered, kept in ((0, 2, 3), (1, 3, 2)):
        logits = columns[0][row : row + 1]
        value = loss.compute_loss_from_embeddings(
            [logits, *(column[row : row + 1] for column in columns[1:])], label[row : row + 1]
        )
        gradients = torch.autograd.grad(value, columns[1:])
        assert (gradients[filtered - 1] == 0).all() and (gradients[kept - 1][row] != 0).any()


@pytest.mark.parametrize("kind", FILTERS)
def test_gradcheck(student, kind):
    loss = FilteredContrastiveLoss(student, filter=make_filter(**FILTERS[kind]), scale=2.0)
    flat = flat_batch(3, batch=3, width=4, documents=7, dim=2)
    assert gradcheck(loss, flat.embeddings, flat.label)


def test_a_row_that_lost_everything_keeps_the_nearest_and_says_so_once(student, caplog):
    query = torch.tensor([[1.0]])
    columns = [torch.tensor([[value]]) for value in (math.log(3), 5.0, 0.0)]
    loss = FilteredContrastiveLoss(student, similarity_fct=dot_score)
    with caplog.at_level(logging.WARNING, logger="st_mta"):
        for _ in range(2):
            value = loss.compute_loss_from_embeddings([query, *columns], torch.tensor([[8.0, 10.0, 9.0]]))
    assert value.item() == pytest.approx(-math.log(3 / 4))
    (record,) = caplog.records
    assert "put back" in record.getMessage()


def test_bfloat16_embeddings_are_compared_in_float32(student):
    flat = flat_batch(0, dtype=torch.float32)
    narrow = [side.detach().bfloat16().requires_grad_() for side in flat.embeddings]
    loss = FilteredContrastiveLoss(student, filter=DynamicFilter(temperature=0.1))
    value = loss.compute_loss_from_embeddings(narrow, flat.label)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite()
    assert all(side.grad.isfinite().all() for side in narrow)


def test_components_are_the_loss_and_the_rate(student):
    features, label = features_of(student), torch.tensor(LABEL)
    label[0, 1] = 10.0
    terms = FilteredContrastiveLoss(student, return_components=True)(features, label)
    assert list(terms) == ["contrastive", "filter_rate"]
    assert terms["filter_rate"].item() == pytest.approx(1 / 8) and not terms["filter_rate"].requires_grad
    assert terms["contrastive"].item() == pytest.approx(FilteredContrastiveLoss(student)(features, label).item())


def test_the_cached_form_has_the_same_gradient(student):
    features = features_of(student)
    found = []
    for loss in (FilteredContrastiveLoss(student), CachedFilteredContrastiveLoss(student, mini_batch_size=3)):
        student.zero_grad()
        value = loss([dict(column) for column in features], torch.tensor(LABEL))
        value.backward()
        gradient = torch.cat([p.grad.flatten() for p in student.parameters() if p.grad is not None])
        found.append((value.detach(), gradient))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_the_cached_form_has_no_components(student):
    with pytest.raises(InputError, match="filter_rate"):
        CachedFilteredContrastiveLoss(student, return_components=True)


def test_every_epoch_is_an_iteration(student):
    loss = torch.nn.ModuleList([FilteredContrastiveLoss(student, filter=DynamicFilter(absolute_margin=[0.0, 1e4]))])
    schedule = FilterSchedule(loss)
    embeddings, label = column_batch(0)
    rates = []
    for epoch in (0.0, 1.0, 5.0):
        schedule.on_epoch_begin(None, TrainerState(epoch=epoch), TrainerControl())
        loss[0].compute_loss_from_embeddings(embeddings, label)
        rates.append(loss[0].filter_rate.item())
    assert loss[0].iteration == 5 and rates[0] < rates[1] == rates[2] == 1.0
