from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from st_mta.errors import InputError
from st_mta.evaluation import holm, paired_test, significance


def systems(size, shift, seed=0):
    generator = np.random.default_rng(seed)
    b = generator.random(size)
    a = b + generator.normal(shift, 0.2, size)
    ids = [f"q{number}" for number in range(size)]
    return dict(zip(ids, a.tolist())), dict(zip(ids, b.tolist()))


@pytest.mark.parametrize("shift", [0.0, 0.05, 0.2])
def test_randomisation_agrees_with_all_sign_flips(shift):
    a, b = systems(11, shift)
    differences = [a[query_id] - b[query_id] for query_id in a]
    observed = abs(sum(differences))
    flips = list(itertools.product([1, -1], repeat=len(differences)))
    extreme = sum(abs(sum(s * d for s, d in zip(signs, differences))) >= observed - 1e-12 for signs in flips)
    assert paired_test(a, b).p_value == pytest.approx(extreme / len(flips), abs=0.015)


def test_t_test_and_counts():
    a, b = systems(50, 0.05)
    b["q3"] = a["q3"]
    test = paired_test(a, b)
    assert test.t_test_p_value == pytest.approx(stats.ttest_rel(list(a.values()), list(b.values())).pvalue)
    assert test.wins + test.losses + test.ties == test.num_queries == 50
    assert (test.ties, test.wins) == (1, sum(a[query_id] > b[query_id] for query_id in a))
    assert test.difference == pytest.approx(test.mean_a - test.mean_b)
    assert test.mean_a == pytest.approx(np.mean(list(a.values())))


def test_a_better_system_has_a_positive_difference_and_an_interval_above_zero():
    test = paired_test(*systems(200, 0.1))
    low, high = test.confidence_interval
    assert 0 < low < test.difference < high
    assert test.wins > test.losses
    assert test.p_value < 0.001


def test_the_interval_is_that_of_the_mean():
    a, b = systems(400, 0.05)
    differences = np.array(list(a.values())) - np.array(list(b.values()))
    half_width = 1.96 * differences.std(ddof=1) / math.sqrt(400)
    expected = (differences.mean() - half_width, differences.mean() + half_width)
    assert paired_test(a, b).confidence_interval == pytest.approx(expected, abs=0.1 * half_width)


def test_queries_are_paired_by_id_not_by_order():
    a, b = systems(30, 0.05)
    assert paired_test(a, dict(reversed(b.items()))) == paired_test(a, b)


def test_exchanging_the_systems_changes_only_the_sign():
    a, b = systems(60, 0.03)
    forth, back = paired_test(a, b), paired_test(b, a)
    assert (forth.p_value, forth.wins, forth.difference) == (back.p_value, back.losses, -back.difference)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1, 7])
def test_identical_systems(size):
    a, _ = systems(size, 0.0)
    test = paired_test(a, dict(a))
    assert (test.p_value, test.t_test_p_value, test.difference) == (1.0, 1.0, 0.0)
    assert test.confidence_interval == (0.0, 0.0)
    assert (test.wins, test.losses, test.ties) == (0, 0, size)


@pytest.mark.filterwarnings("error")
def test_the_same_gain_on_every_query():
    b = {f"q{number}": 0.25 for number in range(12)}
    test = paired_test({query_id: 0.75 for query_id in b}, b)
    assert test.confidence_interval == (0.5, 0.5)
    assert test.p_value < 0.01
    assert not math.isnan(test.t_test_p_value)


def test_seeded_and_independent_of_the_block_size(monkeypatch):
    a, b = systems(40, 0.04)
    expected = paired_test(a, b, seed=3)
    assert paired_test(a, b, seed=3) == expected
    assert paired_test(a, b, seed=4) != expected
    monkeypatch.setattr(significance, "BLOCK", 1000)
    assert paired_test(a, b, seed=3).p_value == pytest.approx(expected.p_value, abs=0.02)


def test_a_p_value_is_never_zero():
    assert paired_test(*systems(300, 1.0)).p_value == 1 / 10_000


@pytest.mark.parametrize("b", [{}, {"q0": 1.0, "other": 1.0}, {"q0": 1.0}], ids=["none", "other", "fewer"])
def test_refuses_other_queries(b):
    with pytest.raises(InputError, match="same queries"):
        paired_test({"q0": 1.0, "q1": 0.5}, b)


def test_refuses_no_queries():
    with pytest.raises(InputError, match="same queries"):
        paired_test({}, {})


def test_holm_worked_by_hand():
    # Sorted: .01 * 4, max(.04, .02 * 3), max(.06, .03 * 2), max(.06, .6 * 1).
    assert holm([0.03, 0.01, 0.6, 0.02]) == pytest.approx([0.06, 0.04, 0.6, 0.06])


def test_holm_never_falls_nor_exceeds_one():
    assert holm([0.9, 0.8, 0.7]) == [1.0, 1.0, 1.0]
    assert holm([0.01, 0.012]) == pytest.approx([0.02, 0.02])
    assert holm([]) == []


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("swapped", [False, True])
def test_values_that_are_not_finite_are_refused_with_their_query(value, swapped):
    systems = [{"q1": 1.0, "q2": value}, {"q1": 0.5, "q2": value if value != value else 0.2}]
    with pytest.raises(InputError, match="'q2'"):
        paired_test(*(reversed(systems) if swapped else systems))


@pytest.mark.parametrize(("a", "b"), [({"a": "x"}, {"a": 1.0}), ([1.0], [2.0]), ({"a": None}, {"a": 1.0})])
def test_what_are_no_values_is_refused(a, b):
    with pytest.raises(InputError, match="per_query"):
        paired_test(a, b)
