"""Several processes make the steps of one whose batch is as large as all of theirs."""

from __future__ import annotations

import pytest
import torch

from tests.made_once import made_once
from tests.training.launched import launch
from tests.training.two_processes import NAMES, OF_THREE, one_step_each

SCENARIOS = (2, NAMES), (3, OF_THREE)


def train(folder):
    for count, names in SCENARIOS:
        launch(one_step_each, count, folder / str(count), names)
        one_step_each(0, 1, str(folder / str(count)), names, whole=count)


@pytest.fixture(scope="module")
def trainings(tmp_path_factory):
    """By number of processes and name: the training by a single one, and what each of them has."""
    folder = made_once(tmp_path_factory, "several", train)
    found = {}
    for count, names in SCENARIOS:
        files = ["0-of-1", *(f"{rank}-of-{count}" for rank in range(count))]
        saved = [torch.load(folder / str(count) / f"{name}.pt", weights_only=False) for name in files]
        found |= {(count, name): [one[name] for one in saved] for name in names}
    return found


@pytest.mark.parametrize(
    ("count", "name"), [*((2, name) for name in NAMES), *((3, name) for name in OF_THREE)], ids=str
)
def test_several_equal_one_with_the_whole_batch(trainings, count, name):
    alone, *each = trainings[count, name]
    assert max(alone["moved"].values()) > 1e-4
    for one in each:
        for part in ("weights", "own"):
            assert one[part].keys() == alone[part].keys()
            for key, value in alone[part].items():
                torch.testing.assert_close(one[part][key], value, atol=1e-6, rtol=0)
                assert torch.equal(one[part][key], each[0][part][key])
        assert one["done"].steps == alone["done"].steps > 0
        assert one["done"].loss == pytest.approx(alone["done"].loss, abs=1e-4)
        assert one["done"].selected == pytest.approx(alone["done"].selected, abs=1e-5)
        # A passage that several processes list is read by each of them.
        assert alone["done"].sequences <= one["done"].sequences == each[0]["done"].sequences


def test_the_last_rows_are_trained_on(trainings):
    for count in (2, 3):  # of 16 and of 15 rows, of which the last has one and seven
        assert trainings[count, "97 queries"][1]["done"].steps == 7
    assert trainings[3, "1 queries"][1]["done"].steps == trainings[2, "3 queries"][1]["done"].steps == 1
