"""Scores from preferences: hand values, an independent reference, limits; and which pairs are compared."""

from __future__ import annotations

import math

import numpy as np
import pytest

from st_mta.scorers.bradley_terry import PRIOR, _objective, _step, bradley_terry
from st_mta.scorers.comparisons import compared
from tests import reference

NO_PRIOR = 1e-9


def wins_of(probabilities):
    """(1, n, n) from a dictionary of (i, j) -> P(i beats j)."""
    size = 1 + max(max(pair) for pair in probabilities)
    wins = np.zeros((1, size, size))
    for (i, j), probability in probabilities.items():
        wins[0, i, j], wins[0, j, i] = probability, 1 - probability
    return wins


def test_two_passages_differ_by_the_logit_of_the_preference():
    scores = bradley_terry(wins_of({(0, 1): 0.8}), NO_PRIOR)
    np.testing.assert_allclose(scores, [[math.log(2), -math.log(2)]], atol=1e-6)  # log(.8 / .2) = 2 log 2


def test_two_passages_with_a_prior_by_hand():
    # The slope at s = (1, -1): p - sigmoid(2) - prior * 1 = 0 for p = sigmoid(2) + prior.
    prior = 0.05
    scores = bradley_terry(wins_of({(0, 1): 1 / (1 + math.exp(-2)) + prior}), prior)
    np.testing.assert_allclose(scores, [[1, -1]], atol=1e-9)


def test_three_passages_of_consistent_odds_by_hand():
    # Odds of 2, 2 and 4: strengths 4, 2, 1.
    scores = bradley_terry(wins_of({(0, 1): 2 / 3, (1, 2): 2 / 3, (0, 2): 4 / 5}), NO_PRIOR)
    np.testing.assert_allclose(scores, [[math.log(2), 0, -math.log(2)]], atol=1e-6)


def test_a_cycle_of_equal_odds_is_a_tie():
    scores = bradley_terry(wins_of({(0, 1): 0.9, (1, 2): 0.9, (2, 0): 0.9}), PRIOR)
    np.testing.assert_allclose(scores, [[0, 0, 0]], atol=1e-9)


def test_it_equals_the_reference_in_loops():
    random = np.random.default_rng(0)
    wins = random.random((3, 5, 5)) * (random.random((3, 5, 5)) < 0.8)
    wins[2] = np.triu(np.ones((5, 5)), 1)  # everybody beats all behind
    found = bradley_terry(wins, 0.1)
    for lists, scores in zip(wins.tolist(), found):
        np.testing.assert_allclose(scores, reference.bradley_terry(lists, 0.1), atol=1e-8)


def test_passages_that_are_never_beaten_stay_finite_and_in_order():
    scores = bradley_terry(np.triu(np.ones((1, 12, 12)), 1))
    assert np.isfinite(scores).all() and (np.diff(scores) < 0).all() and 5 < scores[0, 0] < 40
    np.testing.assert_allclose(scores.sum(), 0, atol=1e-8)


def test_lists_do_not_touch_each_other_and_their_order_does_not_matter():
    random = np.random.default_rng(1)
    wins, order = random.random((4, 6, 6)), random.permutation(6)
    together = bradley_terry(wins)
    np.testing.assert_allclose(np.concatenate([bradley_terry(one[None]) for one in wins]), together, atol=1e-9)
    np.testing.assert_allclose(bradley_terry(wins[:, order][:, :, order]), together[:, order], atol=1e-9)


def test_a_step_too_far_is_halved_until_nothing_is_lost():
    wins, scores, prior = np.array([[[0.0, 1.0], [1.0, 0.0]]]), np.array([[20.0, -20.0]]), 1e-6
    beaten = 2 / (1 + np.exp(-40.0))
    slope = np.array([[1 - beaten, 1 - (2 - beaten)]]) - prior * scores
    games = wins + wins.transpose(0, 2, 1)
    after = scores + _step(wins, games, scores, slope, prior)
    assert np.abs(after).max() < 21 and _objective(wins, after, prior) > _objective(wins, scores, prior)


def test_lists_without_comparisons_have_no_scores_but_zero():
    assert bradley_terry(np.zeros((2, 1, 1))).tolist() == [[0], [0]]
    assert bradley_terry(np.eye(3)[None]).tolist() == [[0, 0, 0]]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 6, 7, 16])
def test_each_pair_is_compared_once_and_each_passage_often_enough(size):
    for budget in (None, 1, 2, 3, 5, 40):
        left, right = compared(size, budget)
        pairs = {tuple(sorted(pair)) for pair in zip(left.tolist(), right.tolist())}
        assert len(pairs) == len(left) and all(i != j for i, j in pairs)
        wanted = size - 1 if budget is None else min(budget, size - 1)
        often = np.bincount(np.concatenate([left, right]), minlength=size)
        assert (often >= wanted).all() and (budget is None or (often <= budget + 1).all())


def test_with_a_budget_all_passages_are_linked_and_some_comparisons_go_far():
    left, right = compared(50, 6)
    assert sorted(set(((right - left) % 50).tolist())) == [1, 5, 24]
