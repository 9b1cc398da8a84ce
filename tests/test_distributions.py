from __future__ import annotations

import math

import pytest
import torch

from st_mta.distributions import (
    centre,
    looks_like_sigmoid,
    masked_entropy,
    masked_kl,
    masked_log_softmax,
    standardise,
)
from tests import reference


def test_masked_log_softmax_of_nothing_is_not_nan():
    scores = torch.tensor([[torch.nan, 1.0], [2.0, torch.inf]])
    assert (masked_log_softmax(scores, torch.zeros(2, 2, dtype=torch.bool)) == -torch.inf).all()


def lists(seed, dtype=torch.float64):
    """Two sets of scores and a mask; the first row is whole, the second empty, the third has one candidate."""
    generator = torch.Generator().manual_seed(seed)
    scores, others = (4 * torch.randn(8, 6, generator=generator, dtype=dtype) for _ in range(2))
    mask = torch.rand(8, 6, generator=generator) > 0.3
    mask[0], mask[1], mask[2] = True, False, torch.arange(6) == 2
    return scores, others, mask


def test_softmax_kl_and_entropy_equal_the_reference():
    for seed in range(4):
        scores, others, mask = lists(seed)
        p, q = (masked_log_softmax(side.masked_fill(~mask, torch.nan), mask) for side in (scores, others))
        # What a distribution says of masked candidates does not matter.
        rubbish = torch.where(mask, p, others), torch.where(mask, q, torch.nan)
        for row in range(8):
            inside = mask[row].tolist()
            expected, other = (reference.softmax(side[row].tolist(), inside) for side in (scores, others))
            assert p[row].exp().tolist() == pytest.approx(expected, abs=1e-12)
            for left, right in ((p, q), rubbish):
                kl = masked_kl(left[row], right[row], mask[row]).item()
                assert kl == pytest.approx(reference.kl(expected, other), abs=1e-12)
                assert masked_entropy(left[row], mask[row]).item() == pytest.approx(
                    reference.entropy(expected), abs=1e-12
                )


def test_kl_is_infinite_where_the_other_rules_out_what_is_allowed_and_not_the_other_way_round():
    half, one, everyone = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log(), torch.ones(2) > 0
    assert masked_kl(half, one, everyone).item() == math.inf
    assert masked_kl(one, half, everyone).item() == pytest.approx(math.log(2))


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_gradients_are_finite_and_zero_at_masked_candidates():
    scores, others, mask = lists(0)
    scores.requires_grad_(), others.requires_grad_()
    with torch.autograd.detect_anomaly(check_nan=True):
        p, q = masked_log_softmax(scores, mask), masked_log_softmax(others, mask)
        (masked_kl(p, q, mask) + masked_entropy(p, mask)).sum().backward()
    for side in (scores, others):
        assert (side.grad[~mask] == 0).all() and (side.grad[0] != 0).all()


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


def random(size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "scores",
    [
        (6 * random(2000)).sigmoid(),
        (4 * random(2000) - 2).sigmoid(),
        (5 * random(2000) - 8).sigmoid(),
        (5 * random(2000) + 8).sigmoid(),
        (6 * random(2000)).sigmoid().bfloat16(),
        torch.tensor([0.999, 0.001, 0.4, torch.inf, *[torch.nan] * 9]),
    ],
    ids=["wide", "usual", "mostly irrelevant", "mostly relevant", "bfloat16", "few, others unknown"],
)
def test_a_sigmoid_is_recognised(scores):
    assert looks_like_sigmoid(scores)


@pytest.mark.parametrize(
    "scores",
    [
        6 * random(2000),
        (0.45 + 0.15 * random(2000)).clamp(0.1, 0.8),
        torch.linspace(0.1, 0.8, 2000),
        torch.linspace(0, 1, 2000),
        torch.cat([torch.zeros(1000), torch.linspace(0.1, 0.9, 1000)]),
        torch.cat([(6 * random(2000)).sigmoid(), torch.tensor([1.5])]),
        torch.cat([(6 * random(2000)).sigmoid(), torch.tensor([-0.01])]),
        torch.zeros(0),
        torch.tensor([torch.nan]),
    ],
    ids=["logits", "cosines", "even cosines", "even", "scaled bm25", "above 1", "below 0", "nothing", "unknown"],
)
def test_other_scores_are_not_taken_for_a_sigmoid(scores):
    assert not looks_like_sigmoid(scores)
