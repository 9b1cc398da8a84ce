"""The contrastive term equals the reference."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.losses import info_nce
from tests import reference


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_reference(seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 4 * torch.randn(8, 9, generator=generator, dtype=torch.float64)
    kind = torch.randint(0, 3, (8, 9), generator=generator)
    kind[0] = 0  # no positive
    kind[1] = torch.where(kind[1] == 1, 2, kind[1])
    positive, negative = kind == 1, kind == 2
    positive[2], negative[2] = True, False  # no negative
    for b, value in enumerate(info_nce(logits, positive, negative)):
        expected = reference.info_nce(logits[b].tolist(), positive[b].tolist(), negative[b].tolist())
        assert value.item() == pytest.approx(expected, abs=1e-8)


def test_two_positives_by_hand():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0, 9.0]])
    positive = torch.tensor([[True, True, False, False, False]])
    negative = torch.tensor([[False, False, True, True, False]])
    others = math.exp(0) + math.exp(-1)  # the last document is in neither
    expected = -(math.log(math.exp(2) / (math.exp(2) + others)) + math.log(math.exp(1) / (math.exp(1) + others))) / 2
    assert info_nce(logits, positive, negative).item() == pytest.approx(expected)


def test_gradients_stay_finite_without_positives_or_negatives_and_vanish_outside():
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    positive = torch.tensor([[True, False, False, False], [False] * 4, [True, True, False, False]])
    negative = torch.tensor([[False] * 4, [True, True, False, False], [False, False, True, False]])
    info_nce(logits, positive, negative).sum().backward()
    assert logits.grad.isfinite().all()
    assert (logits.grad[:2] == 0).all()
    assert logits.grad[2, 3] == 0
    assert logits.grad[2, 0] < 0 < logits.grad[2, 2]
