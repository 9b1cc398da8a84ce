"""Trainings by several processes end with the same weights, bit for bit, however often they are interrupted."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file

from st_mta.errors import InputError
from st_mta.training.marked import fault_of
from tests.made_once import made_once
from tests.training.killed_processes import At, Killed, all_of_it, kill, long_training
from tests.training.launched import launch


def interrupt(folder):
    with pytest.raises(Killed):
        long_training(folder / "of one", At(3, kill))
    launch(all_of_it, 2, folder)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each of two processes saw."""
    folder = made_once(tmp_path_factory, "killed", interrupt)
    return folder, [torch.load(folder / f"killed-{rank}.pt", weights_only=False) for rank in range(2)]


def assert_same(found, expected):
    (weights, done), (whole, counted) = found, expected
    assert weights.keys() == whole.keys() and all(torch.equal(weights[key], whole[key]) for key in whole)
    assert done == counted


def test_all_processes_have_the_same_weights(seen):
    _, (first, second) = seen
    assert_same(first["whole"], second["whole"])


@pytest.mark.parametrize("how", ["killed", "while saving", "stopped"])
def test_an_interrupted_training_ends_with_the_same_weights(seen, how):
    for one in seen[1]:
        assert_same(one[how], one["whole"])


def test_all_stop_where_one_is_asked_to(seen):
    for one in seen[1]:
        assert one["killed at"] == one["while saving at"] == "Killed: "
        assert "saved as of step 3 of 6" in one["stopped at"]


def test_another_number_of_processes_is_refused(seen):
    folder, both = seen
    for one in both:
        assert one["of one"].startswith("InputError: Expected 1 processes, which began this training, got 2.")
        assert one["left"] == "Killed: "
    with pytest.raises(InputError, match=r"Expected 2 processes.* got 1\..*start 2 again .* or delete"):
        long_training(folder / "left")
    shutil.rmtree(folder / "left")
    long_training(folder / "left", max_steps=1)


def test_a_checkpoint_needs_the_files_of_every_process(seen, tmp_path):
    checkpoint = seen[0] / "whole/checkpoints/checkpoint-6"
    assert fault_of(checkpoint) is None
    for rank in range(2):
        damaged = shutil.copytree(checkpoint, tmp_path / str(rank))
        (damaged / f"rng_state_{rank}.pth").unlink()
        assert "is missing" in fault_of(damaged)


def test_the_best_checkpoint_is_the_same_for_all(seen):
    folder, both = seen
    kept = load_file(folder / "best/checkpoints/checkpoint-3/model.safetensors")
    for one in both:
        weights = one["best"][0]
        assert all(torch.equal(weights[f"0.model.{key}"], value) for key, value in kept.items())


def test_rank_0_evaluates_for_all(seen):
    first, second = (one["best"] for one in seen[1])
    assert (first[1], second[1]) == (6, 0)
    assert (first[2], second[2]) == (1, 0)
    assert first[3] == second[3] == {"height": -2.0}
