"""A temperature gives the entropy asked for."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants import calibration
from st_mta.assistants.calibration import check_scores, fit_temperature
from st_mta.errors import InputError
from tests import reference


def spread_scores(seed=0, queries=30, width=9, scale=1.0):
    generator = torch.Generator().manual_seed(seed)
    scores = scale * torch.randn(queries, width, generator=generator)
    mask = torch.rand(queries, width, generator=generator) > 0.3
    mask[0], mask[1] = False, False
    mask[1, 2] = True
    return scores, mask


def everyone(scores):
    return torch.ones_like(scores, dtype=torch.bool)


@pytest.mark.parametrize("target", [0.05, 0.5, 0.95])
@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_the_fitted_temperature_has_the_entropy_asked_for(scale, target):
    scores, mask = spread_scores(scale=scale)
    temperature = fit_temperature(scores.masked_fill(~mask, torch.nan), mask, target)
    measured = reference.mean_normalised_entropy(scores.tolist(), mask.tolist(), temperature)
    assert measured == pytest.approx(target, abs=1e-6)


def test_by_hand():
    # H(3/4, 1/4) / log 2 is the entropy wanted of (0, 6): softmax(6 / T) = 3/4 means 6 / T = log 3.
    target = -(3 / 4 * math.log(3 / 4) + 1 / 4 * math.log(1 / 4)) / math.log(2)
    scores = torch.tensor([[0.0, 6.0]])
    assert fit_temperature(scores, everyone(scores), target) == pytest.approx(6 / math.log(3))


def test_the_temperature_scales_with_the_scores_and_ignores_their_offset():
    scores, mask = spread_scores()
    once = fit_temperature(scores, mask, 0.5)
    assert fit_temperature(7 * scores + 3, mask, 0.5) == pytest.approx(7 * once, rel=1e-5)


def test_queries_whose_scores_are_all_equal_do_not_count():
    scores, mask = spread_scores()
    with_equal = torch.cat([scores, torch.full((50, 9), 4.0)])
    both = torch.cat([mask, torch.ones(50, 9, dtype=torch.bool)])
    assert fit_temperature(with_equal, both, 0.5) == pytest.approx(fit_temperature(scores, mask, 0.5))


def test_of_very_many_queries_every_kth_is_used(monkeypatch):
    scores, mask = spread_scores(queries=31)
    monkeypatch.setattr(calibration, "_MOST_ROWS", 11)
    assert fit_temperature(scores, mask, 0.5) == fit_temperature(scores[::3], mask[::3], 0.5)


def test_half_precision_scores_are_accepted():
    scores, mask = spread_scores()
    assert fit_temperature(scores.bfloat16(), mask, 0.5) == pytest.approx(fit_temperature(scores, mask, 0.5), rel=0.01)


def test_constant_scores_are_refused():
    scores = torch.arange(4.0)[:, None].expand(4, 5)
    with pytest.raises(InputError, match="4 queries whose scores are constant"):
        fit_temperature(scores, everyone(scores), 0.5)


def test_no_query_at_all_is_refused():
    with pytest.raises(InputError, match="constant"):
        fit_temperature(torch.zeros(0, 5), torch.zeros(0, 5, dtype=torch.bool), 0.5)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf, -torch.inf])
def test_scores_that_are_not_finite_are_refused_unless_masked(broken):
    scores, mask = spread_scores()
    scores[5, 1], mask[5, 1] = broken, True
    with pytest.raises(InputError, match=r"1 of .* at \(5, 1\)"):
        fit_temperature(scores, mask, 0.5)
    mask[5, 1] = False
    assert fit_temperature(scores, mask, 0.5) > 0


@pytest.mark.parametrize("target", [0.0, 1.0, -0.1, math.nan])
def test_targets_outside_the_open_interval_are_refused(target):
    scores, mask = spread_scores()
    with pytest.raises(InputError, match="between 0 and 1"):
        fit_temperature(scores, mask, target)


def test_a_target_below_what_ties_allow_is_refused_with_the_least_possible():
    # Two of three tied at the top: even the sharpest distribution is (1/2, 1/2, 0).
    scores = torch.tensor([[2.0, 2.0, 1.0]])
    with pytest.raises(InputError, match=f"{math.log(2) / math.log(3):.3f} is the least"):
        fit_temperature(scores, everyone(scores), 0.5)
    assert fit_temperature(scores, everyone(scores), 0.7) > 0


def test_check_scores_says_who_how_many_and_where():
    scores, mask = torch.zeros(3, 4), torch.ones(3, 4) > 0
    check_scores("bm25", scores, mask)
    scores[1, 2], scores[2, 0] = torch.nan, torch.inf
    with pytest.raises(InputError, match=r"from bm25, got 2 of 12 NaN or infinite, the first is nan at \(1, 2\)"):
        check_scores("bm25", scores, mask)
    check_scores("bm25", scores, scores.isfinite())


def test_queries_whose_valid_scores_are_all_equal_do_not_count():
    scores = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [1.0, 2.0, torch.nan]])
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    assert fit_temperature(scores, mask, 0.5) == fit_temperature(scores[[0, 2]], mask[[0, 2]], 0.5)
    with pytest.raises(InputError, match="scores of bm25 that differ"):
        fit_temperature(scores[1:2], mask[1:2], 0.5, "bm25")
