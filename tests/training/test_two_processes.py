"""Two processes with batches of 8 make the steps of one with 16."""

from __future__ import annotations

import pytest
import torch

from tests.training.launched import launch
from tests.training.two_processes import NAMES, STUDENT, one_step_each


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """By name: alone, and each of two processes."""
    folder = tmp_path_factory.mktemp("two")
    launch(one_step_each, 2, folder)
    one_step_each(0, 1, str(folder))
    found = [torch.load(folder / f"{name}.pt", weights_only=False) for name in ("0-of-1", "0-of-2", "1-of-2")]
    return {name: [one[name] for one in found] for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_two_of_8_equal_one_of_16(trainings, name):
    alone, *both = trainings[name]
    before = STUDENT.state_dict()
    moved = max(float((alone["weights"][key] - value).abs().max()) for key, value in before.items())
    assert moved > 1e-4
    for one in both:
        for part in ("weights", "own"):
            assert one[part].keys() == alone[part].keys()
            for key, value in alone[part].items():
                torch.testing.assert_close(one[part][key], value, atol=1e-6, rtol=0)
    assert all(torch.equal(both[0]["weights"][key], both[1]["weights"][key]) for key in before)
