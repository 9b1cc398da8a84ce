"""Fitted weights are at the maximum, by an independent way and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants.weights import fit_log_linear, fit_weights
from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from tests import reference


def judged_lists(seed, queries=25, scorers=3, width=6):
    """Raw scores that know something, the positives (one or two each) and the mask; some queries cannot be used."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(queries, width, generator=generator) > 0.2
    positive = torch.rand(queries, width, generator=generator) > 0.7
    mask[0], positive[1], positive[2] = False, False, True
    knowledge = torch.rand(scorers, generator=generator)[:, None] * positive[:, None]
    scores = 2 * torch.randn(queries, scorers, width, generator=generator) + 3 * knowledge
    return scores.masked_fill(~mask[:, None], torch.nan), positive, mask


def fitted(scores, positive, mask):
    return fit_weights(masked_log_softmax(scores, mask[:, None]), positive, mask)


def test_only_judged_queries_of_a_mixed_list_count():
    _, positive, mask = judged_lists(0)
    assert not {0, 1, 2} & set(reference.judged(positive.tolist(), mask.tolist()))


@pytest.mark.parametrize("scorers", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(3))
def test_weights_equal_the_fixed_point_of_expectation_maximisation(seed, scorers):
    scores, positive, mask = judged_lists(seed, scorers=scorers)
    distributions = masked_log_softmax(scores.double(), mask[:, None]).exp().tolist()
    expected = reference.mixture_weights(distributions, positive.tolist(), mask.tolist(), steps=3000)
    weights = fitted(scores.double(), positive, mask)
    assert sum(weights) == pytest.approx(1) and min(weights) >= 0
    assert weights == pytest.approx(expected, abs=1e-4)

    def value(weights):
        masses = [
            reference.dot(weights, [reference.mass_on(p, positive[q].tolist(), mask[q].tolist()) for p in row])
            for q, row in enumerate(distributions)
            if q in reference.judged(positive.tolist(), mask.tolist())
        ]
        return sum(map(math.log, masses)) / len(masses)

    assert value(weights) >= value(expected) - 1e-12  # the fixed point is approached slowly where a weight is zero


def masses(*rows):
    """(Q, 2, 2) distributions over a positive and a negative candidate."""
    first = torch.tensor(rows, dtype=torch.float64)
    return torch.stack([first, 1 - first], dim=-1).log(), torch.tensor([[True, False]] * len(rows))


def test_weights_by_hand():
    # d/dw of log(.1 + .8 w) + log(.5 - .3 w) is zero where .8 (.5 - .3 w) = .3 (.1 + .8 w): w = .37 / .48.
    log_probs, positive = masses((0.9, 0.1), (0.2, 0.5))
    assert fit_weights(log_probs, positive, torch.ones(2, 2) > 0) == pytest.approx([37 / 48, 11 / 48], abs=1e-6)


def test_an_assistant_that_is_always_worse_gets_nothing():
    log_probs, positive = masses((0.9, 0.5), (0.6, 0.3))
    assert fit_weights(log_probs, positive, torch.ones(2, 2) > 0) == [1.0, 0.0]


def test_an_assistant_that_rules_out_what_is_relevant_does_not_break_the_fit():
    log_probs, positive = masses((1.0, 0.0), (0.0, 1.0), (0.0, 1.0), (0.0, 0.0))
    assert fit_weights(log_probs, positive, torch.ones(4, 2) > 0) == pytest.approx([1 / 3, 2 / 3], abs=1e-6)
    assert fit_weights(log_probs[3:], positive[3:], torch.ones(1, 2) > 0) == [0.5, 0.5]


def test_identical_assistants_share_equally():
    scores, positive, mask = judged_lists(1)
    assert fitted(scores[:, [0, 0, 0]], positive, mask) == pytest.approx([1 / 3] * 3)
    first, second, third = fitted(scores[:, [0, 1, 1]], positive, mask)
    alone = fitted(scores[:, :2], positive, mask)
    assert second == pytest.approx(third) and [first, second + third] == pytest.approx(alone, abs=1e-6)


def test_without_assistants_there_are_no_weights():
    _, positive, mask = judged_lists(1)
    assert fit_weights(torch.zeros(25, 0, 6), positive, mask) == []


def test_log_linear_by_hand():
    # One scorer and one pair log 3 apart: log 3 * sigmoid(-w log 3) = l2 * w holds at w = 1 for l2 = log(3) / 4.
    scores, positive = torch.tensor([[[math.log(3), 0.0]]]), torch.tensor([[True, False]])
    weights = fit_log_linear(scores, positive, torch.ones(1, 2) > 0, l2=math.log(3) / 4)
    assert weights == pytest.approx([1.0], abs=1e-6)


@pytest.mark.parametrize("l2", [1e-3, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_no_step_from_the_log_linear_weights_is_better(seed, l2):
    scores, positive, mask = judged_lists(seed, scorers=4)
    scores[:, 3] *= -1  # a scorer against the judgements, whose weight ends at zero
    weights = fit_log_linear(scores, positive, mask, l2)
    assert weights[3] == 0 and max(weights) > 0.1
    lists = scores.nan_to_num().double().tolist(), positive.tolist(), mask.tolist()
    best = reference.log_linear_objective(weights, *lists, l2)
    for scorer, weight in enumerate(weights):
        for step in (-1e-3, 1e-3):
            moved = [*weights[:scorer], max(0.0, weight + step), *weights[scorer + 1 :]]
            if moved != weights:
                assert reference.log_linear_objective(moved, *lists, l2) < best
    slopes = [_slope(weights, scorer, lists, l2) for scorer in range(4)]
    assert all(abs(slope) < 1e-6 for slope, weight in zip(slopes, weights) if weight > 0)
    assert slopes[3] < 0


def _slope(weights, scorer, lists, l2, step=1e-5):
    """Central difference of the reference along one weight."""
    up, down = (
        reference.log_linear_objective(
            [weight + side * step * (place == scorer) for place, weight in enumerate(weights)], *lists, l2
        )
        for side in (1, -1)
    )
    return (up - down) / (2 * step)


def test_log_linear_weights_are_in_the_inverse_unit_of_the_scores():
    scores, positive, mask = judged_lists(2)
    once = fit_log_linear(scores, positive, mask, l2=1e-2)
    halved = fit_log_linear(2 * scores + 5, positive, mask, l2=4e-2)
    assert halved == pytest.approx([weight / 2 for weight in once], abs=1e-5)


FITS = [fitted, fit_log_linear]


@pytest.mark.parametrize("fit", FITS)
def test_the_order_of_anything_does_not_matter(fit):
    scores, positive, mask = judged_lists(3)
    expected = fit(scores, positive, mask)
    generator = torch.Generator().manual_seed(0)
    queries, columns = torch.randperm(25, generator=generator), torch.randperm(6, generator=generator)
    permuted = scores[queries][:, [2, 0, 1]][..., columns], positive[queries][:, columns], mask[queries][:, columns]
    assert fit(*permuted) == pytest.approx([expected[2], expected[0], expected[1]], abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_offsets_masked_scores_and_unjudged_queries_have_no_influence(fit):
    scores, positive, mask = judged_lists(4)
    expected = fit(scores, positive, mask)
    offset = torch.randn(25, 3, 1, generator=torch.Generator().manual_seed(5))
    assert fit(scores + offset, positive, mask) == pytest.approx(expected, abs=1e-5)
    rubbish = scores.masked_fill(~mask[:, None], 1e20)
    assert fit(rubbish, positive | ~mask, mask) == pytest.approx(expected, abs=1e-6)
    assert fit(scores[3:], positive[3:], mask[3:]) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_ties_and_half_precision(fit):
    scores, positive, mask = judged_lists(5)
    half = scores.round().bfloat16()
    assert fit(half, positive, mask) == pytest.approx(fit(half.float(), positive, mask), abs=1e-6)


@pytest.mark.parametrize("fit", FITS)
def test_nothing_to_fit_on_is_refused(fit):
    scores, positive, mask = judged_lists(6)
    with pytest.raises(InputError, match="none among 3"):
        fit(scores[:3], positive[:3], mask[:3])


def test_log_linear_refuses_broken_scores():
    scores, positive, mask = judged_lists(6)
    scores[mask[:, None].expand_as(scores)] = torch.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        fit_log_linear(scores, positive, mask)
