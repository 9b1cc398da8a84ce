"""The filter of likely false negatives, on numbers, arrays and tensors alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter


@pytest.mark.parametrize(("margins", "threshold"), [((0, 0), 8.0), ((0.25, 0), 6.0), ((0, 3), 5.0), ((0.25, 3), 3.0)])
def test_margins_lower_the_threshold(margins, threshold):
    assert DynamicFilter(*margins).threshold(8.0) == threshold


def test_a_relative_margin_also_lowers_a_negative_score():
    assert DynamicFilter(relative_margin=0.25).threshold(-8.0) == -10.0


def test_a_schedule_gives_every_iteration_its_margin_and_keeps_the_last():
    scheduled = DynamicFilter(absolute_margin=[0.0, 1.0, 4.0], relative_margin=[0.0, 0.5])
    assert [scheduled.threshold(8.0, iteration) for iteration in range(5)] == [8.0, 3.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("array", [np.array, torch.tensor])
def test_arrays_of_both_libraries_are_judged_alike(array):
    scores, positives = array([[1.0, 5.0, 4.0, float("nan")], [-3.0, -2.0, 0.0, -2.5]]), array([[5.0], [-2.0]])
    rejected = DynamicFilter(relative_margin=0.2).rejects(scores, positives)
    assert rejected.tolist() == [[False, True, False, False], [False, True, True, False]]
    assert not DynamicFilter().rejects(scores, positives * float("nan")).any()


def test_a_score_at_the_threshold_stays():
    assert not DynamicFilter().rejects(8.0, 8.0)


@pytest.mark.parametrize(
    "options",
    [
        {"relative_margin": float("nan")},
        {"absolute_margin": float("inf")},
        {"absolute_margin": []},
        {"relative_margin": [0.1, float("inf")]},
        {"temperature": 0.0},
        {"temperature": float("inf")},
    ],
)
def test_arguments_out_of_range_are_refused(options):
    ((name, _),) = options.items()
    with pytest.raises(InputError, match=f"Expected {name}"):
        DynamicFilter(**options)
