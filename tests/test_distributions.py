from __future__ import annotations

import math

import pytest
import torch

from st_mta.distributions import centre, masked_log_softmax, standardise
from tests import reference


def test_masked_log_softmax_of_nothing_is_not_nan():
    scores = torch.tensor([[torch.nan, 1.0], [2.0, torch.inf]])
    assert (masked_log_softmax(scores, torch.zeros(2, 2, dtype=torch.bool)) == -torch.inf).all()


def test_standardise_equals_the_reference():
    generator = torch.Generator().manual_seed(0)
    scores, mask = (
        (3 * torch.randn(8, 6, generator=generator)).round() + 5,
        torch.rand(8, 6, generator=generator) > 0.3,
    )
    mask[0], mask[1], scores[2] = False, torch.arange(6) == 3, 4.0
    measured = standardise(scores.masked_fill(~mask, torch.nan), mask)
    for row in range(8):
        expected = reference.standardise(scores[row].tolist(), mask[row].tolist())
        assert measured[row].tolist() == pytest.approx(expected, abs=1e-5)


def test_by_hand():
    # Mean 2 and population variance (4 + 0 + 4) / 3; the masked 9 has no say.
    scores, mask = torch.tensor([0.0, 2.0, 4.0, 9.0]), torch.tensor([True, True, True, False])
    assert centre(scores, mask).tolist() == [-2.0, 0.0, 2.0, 0.0]
    unit = 2 / math.sqrt(8 / 3)
    assert standardise(scores, mask).tolist() == pytest.approx([-unit, 0, unit, 0])


@pytest.mark.parametrize("value", [0.0, 0.1, -12345.678])
def test_equal_scores_stay_at_zero_whatever_rounding_does(value):
    assert standardise(torch.full((7,), value), torch.ones(7, dtype=torch.bool)).tolist() == [0.0] * 7


def test_half_precision_is_computed_in_float32():
    scores, mask = torch.randn(4, 6, generator=torch.Generator().manual_seed(1)).bfloat16(), torch.ones(4, 6) > 0
    for function in (masked_log_softmax, centre, standardise):
        assert function(scores, mask).dtype == torch.float32
        assert torch.equal(function(scores, mask), function(scores.float(), mask))
