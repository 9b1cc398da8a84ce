from __future__ import annotations

import numpy as np
import pytest

from st_mta.mining.sampling import SAMPLING_STRATEGIES, sample_random, stratified, top

Q, K = 40, 25


@pytest.fixture
def matrices():
    random = np.random.default_rng(0)
    allowed = random.random((Q, K)) < 0.6
    allowed[0] = False
    return allowed, random.integers(0, 10, Q), random.random((Q, K))


@pytest.mark.parametrize("name", SAMPLING_STRATEGIES)
def test_picks_are_allowed_numbered_from_zero_and_as_many_as_wanted(name, matrices):
    allowed, count, random = matrices
    order = SAMPLING_STRATEGIES[name](allowed, count, random)
    assert order.shape == (Q, K)
    assert not (order >= 0)[~allowed].any()
    for row in range(Q):
        picks = np.sort(order[row][order[row] >= 0])
        assert picks.tolist() == list(range(min(count[row], allowed[row].sum())))


@pytest.mark.parametrize("name", SAMPLING_STRATEGIES)
def test_a_row_does_not_depend_on_other_rows(name, matrices):
    allowed, count, random = matrices
    order = SAMPLING_STRATEGIES[name](allowed, count, random)
    part = SAMPLING_STRATEGIES[name](allowed[10:20], count[10:20], random[10:20])
    np.testing.assert_array_equal(order[10:20], part)


def test_top_picks_the_first_allowed_ranks():
    allowed = np.array([[True, False, True, True]])
    assert top(allowed, np.array([2]), np.zeros((1, 4))).tolist() == [[0, -1, 1, -1]]


def test_random_picks_by_the_numbers_given():
    allowed = np.array([[True, True, True, False]])
    random = np.array([[0.9, 0.1, 0.5, 0.0]])
    assert sample_random(allowed, np.array([2]), random).tolist() == [[-1, 0, 1, -1]]


def test_random_is_uniform_over_ranks():
    random = np.random.default_rng(1).random((20_000, 10))
    order = sample_random(np.ones((20_000, 10), dtype=bool), np.full(20_000, 3), random)
    np.testing.assert_allclose((order >= 0).mean(axis=0), 0.3, atol=0.015)
    np.testing.assert_allclose((order == 0).mean(axis=0), 0.1, atol=0.01)  # no rank is favoured as first pick


def test_stratified_picks_one_of_each_span():
    random = np.random.default_rng(1).random((1000, 20))
    allowed = np.ones((1000, 20), dtype=bool)
    picked = stratified(allowed, np.full(1000, 4), random) >= 0
    assert (picked.reshape(1000, 4, 5).sum(axis=2) == 1).all()
    np.testing.assert_allclose(picked.mean(axis=0), 0.2, atol=0.05)


def test_stratified_spans_are_cut_from_the_allowed_ranks():
    allowed = np.zeros((200, 20), dtype=bool)
    allowed[:, 10:] = True
    picked = stratified(allowed, np.full(200, 2), np.random.default_rng(1).random((200, 20))) >= 0
    assert (picked[:, 10:15].sum(axis=1) == 1).all() and (picked[:, 15:].sum(axis=1) == 1).all()


def test_stratified_favours_no_span_when_picks_are_cut_off():
    random = np.random.default_rng(1).random((20_000, 20))
    order = stratified(np.ones((20_000, 20), dtype=bool), np.full(20_000, 4), random)
    kept = ((order >= 0) & (order < 2)).reshape(20_000, 4, 5).any(axis=2).mean(axis=0)
    np.testing.assert_allclose(kept, 0.5, atol=0.02)
