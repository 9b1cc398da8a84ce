"""The first batch is looked at: squeezed scores and empty lists are named."""

from __future__ import annotations

import logging

import pytest
import torch

from st_mta.losses import ListwiseKLLoss
from tests.losses.conftest import column_batch


def warnings_of(caplog, student, label, **options):
    embeddings, _ = column_batch(0, dtype=torch.float32)
    with caplog.at_level(logging.WARNING, logger="st_mta"):
        loss = ListwiseKLLoss(student, scale=1.0, **options)  # as unsure as a student of random numbers should be
        loss.compute_loss_from_embeddings(embeddings, label)
        loss.compute_loss_from_embeddings(embeddings, label)
    return [record.getMessage() for record in caplog.records]


def logits():
    return 4 * torch.randn(4, 2, 5, generator=torch.Generator().manual_seed(0))


def test_logits_pass_in_silence(caplog, student):
    assert warnings_of(caplog, student, logits()) == []


def test_a_sigmoid_is_named_once_with_the_remedy(caplog, student):
    label = logits()
    label[:, 1] = label[:, 1].sigmoid()
    label[0, 1, 0] = torch.nan
    (message,) = warnings_of(caplog, student, label)
    assert "scorer 1 all lie between 0 and 1" in message and "activation_fn" in message


@pytest.mark.parametrize("offset", [-0.5, 0.5])
def test_narrow_scores_outside_zero_to_one_are_no_sigmoid(caplog, student, offset):
    assert warnings_of(caplog, student, logits().sigmoid() + offset) == []


def test_cosines_at_a_fitting_temperature_pass(caplog, student):
    label = logits().sigmoid()
    assert warnings_of(caplog, student, label, teacher_temperature=0.05) == []


def test_calibrated_targets_are_not_second_guessed(caplog, student):
    label = logits().sigmoid()
    assert warnings_of(caplog, student, label, targets=lambda scores, mask: scores.log_softmax(-1)) == []


def test_a_batch_without_known_scores_is_named(caplog, student):
    (message,) = warnings_of(caplog, student, torch.full((4, 5), torch.nan))
    assert "two candidates with a finite score" in message
