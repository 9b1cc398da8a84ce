"""Passages that are judged as one, such as the windows of a document: a positive's are nobody's negatives there."""

from __future__ import annotations

import pytest
import torch
from sentence_transformers.util import dot_score

from st_mta.filters import DynamicFilter
from st_mta.losses import FilteredContrastiveLoss, ListwiseKLLoss
from st_mta.losses.batch import read_batch
from st_mta.losses.comparison import Pool
from st_mta.losses.gather import gather_pool
from tests import reference
from tests.losses.conftest import flat_batch

GROUPS = [70, 70, 3, 3, 3, 8, 9, 10, 70, 11, 3, 12, 8, 13]


def plain(*tensors):
    return [tensor.tolist() for tensor in tensors]


def parts(flat):
    return plain(flat.queries, flat.documents, flat.scores, flat.index, flat.positive)


def listwise(student, flat, groups):
    options = {"scale": 1.5, "alpha": 0.3, "contrastive_weight": 0.4, "contrastive_scale": 2.0}
    loss = ListwiseKLLoss(student, similarity_fct=dot_score, teacher_temperature=2.0, **options)
    expected = reference.listwise_kl_loss(
        *parts(flat), similarity=reference.dot, temperature=2.0, groups=groups, **options
    )
    return loss, flat.label, expected


def filtered(student, flat, groups):
    loss = FilteredContrastiveLoss(
        student, filter=DynamicFilter(relative_margin=0.3), similarity_fct=dot_score, scale=0.7
    )
    expected, _ = reference.filtered_contrastive_loss(
        *parts(flat), similarity=reference.dot, scale=0.7, relative=0.3, groups=groups
    )
    return loss, flat.label, expected


def in_batch(student, flat, groups):
    teacher = torch.randn(5, 14, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    options = {"scale": 1.5, "contrastive_weight": 0.4, "contrastive_scale": 2.0}
    loss = ListwiseKLLoss(student, similarity_fct=dot_score, candidates="in-batch", teacher_temperature=2.0, **options)
    expected = reference.in_batch_loss(
        *parts(flat), teacher.tolist(), similarity=reference.dot, temperature=2.0, groups=groups, **options
    )
    return loss, flat.label | {"teacher_in_batch": teacher}, expected


@pytest.mark.parametrize("make", [listwise, filtered, in_batch], ids=["listwise", "filtered", "in-batch"])
def test_equals_the_reference(student, make):
    differ = 0
    for seed in range(4):
        flat = flat_batch(seed)
        loss, label, expected = make(student, flat, GROUPS)
        label = label | {"document_groups": torch.tensor(GROUPS)}
        value = loss.compute_loss_from_embeddings(flat.embeddings, label).item()
        assert value == pytest.approx(expected)
        differ += value != pytest.approx(make(student, flat, None)[2])
    assert differ  # in some of them no positive has another window


def batch_of_two():
    """Each query has a document of two windows, of which one is its positive, and the other query lists the other."""
    label = {
        "scores": torch.zeros(2, 1, 2),
        "index": torch.tensor([[0, 3], [2, 1]]),
        "positive": torch.tensor([[True, False]] * 2),
        "document_groups": torch.tensor([5, 5, 4, 4]),
    }
    return read_batch([torch.eye(2, 2), torch.ones(4, 2)], label)


def test_by_hand():
    batch = batch_of_two()
    positive, negative = batch.roles(torch.ones(4, dtype=torch.bool))
    assert positive.tolist() == [[True, False, False, False], [False, False, True, False]]
    assert negative.tolist() == [[False, False, True, True], [True, True, False, False]]
    others = Pool(torch.zeros(2, 4), batch, torch.ones(4, dtype=torch.bool)).others()[1]
    assert others[:, 0].tolist() == [[False, False, True, False], [True, False, False, False]]


def test_windows_in_other_processes_are_known(monkeypatch):
    """There are a window of the first document, one of a third and padding."""
    from st_mta.losses import gather, shares

    rows = {3: [[9, 1, 1], [8, 1, 1], [0, 0, 0]], 2: [[1.0, 1]] * 3, 1: [[5], [6], [0]]}
    for module in (gather, shares):
        monkeypatch.setattr(module, "num_processes", lambda: 2)
        monkeypatch.setattr(module, "longest_of", lambda _: 3)
        monkeypatch.setattr(module, "with_others", lambda own, _: torch.cat([own, torch.tensor(rows[own.shape[1]])]))
    batch, pool, _ = gather_pool(batch_of_two(), None, across_devices=True)
    assert batch.roles(pool)[1].tolist() == [
        [False, False, True, True, False, True, False],
        [True, True, False, False, True, True, False],
    ]
