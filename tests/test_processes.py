"""Several processes: what is said between them, and that what they store does not depend on how many there are."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.run.stopping import Stopped
from tests.made_once import made_once
from tests.several_processes import Counting, fail_in_training, run_in_processes, score_and_encode, talk


def talk_in_processes(folder):
    for count in (1, 3):
        run_in_processes(count, talk, str(folder))


@pytest.fixture(scope="module")
def heard(tmp_path_factory):
    """What each rank saw, by the number of processes."""
    folder = made_once(tmp_path_factory, "talk", talk_in_processes)
    return {
        count: [pickle.loads((folder / f"talk-{rank}-of-{count}").read_bytes()) for rank in range(count)]
        for count in (1, 3)
    }


def test_all_ranks_get_the_same(heard):
    (alone,), several = heard[1], heard[3]
    assert alone["ranks"] == (0, 1, True)
    assert [seen["ranks"] for seen in several] == [(0, 3, True), (1, 3, False), (2, 3, False)]
    assert alone["sum"] == [0, 1] and all(seen["sum"] == [3, 3] for seen in several)
    assert all(seen["any"] == [True, False] and seen["share"] == {"from": 0} for seen in several)
    assert all(seen["on leader"] == 0 for seen in several)


def test_units_are_dealt_out_and_come_back_in_order(heard):
    (alone,), several = heard[1], heard[3]
    expected = [0, 10, 20, 30, 40, 1, 101, 201, 7, 8]
    assert alone["lead"] == [*expected, 1, 1, 1000]
    assert all(seen["lead"] == [*expected, 3, 1, 1003] for seen in several)
    assert alone["asked"][:6] == [0, 1, 2, 3, 4, 1]
    assert [seen["asked"][:2] for seen in several] == [[0, 3], [1, 4], [2]]


def test_all_ranks_run_the_same_function(heard):
    assert [seen["ran"] for seen in heard[3]] == [[1000]] * 3


def test_what_is_raised_reaches_all(heard):
    for seen in heard[1] + heard[3]:
        assert seen["unit"] == "InputError: Expected no 13, got 13. To do: take another number."
        assert seen["leader"].startswith("IndexError")


def test_what_cannot_be_sent_is_computed_by_rank_0(heard):
    assert all(seen["unsent"] == [2, 4] for seen in heard[1] + heard[3])


def test_rank_0_does_alone_what_it_leads_while_the_others_wait(heard):
    assert all(seen["lead on leader"] == [10, 20] for seen in heard[1] + heard[3])


def test_nothing_that_was_sent_outlives_the_work(heard):
    assert all(seen["again"] == [1000, 2000] for seen in heard[1] + heard[3])


def test_a_result_that_cannot_be_sent_is_said_on_all_ranks(heard):
    assert all("Can't" in seen["result"] or "pickle" in seen["result"] for seen in heard[3])


def test_an_output_folder_has_to_be_seen_by_all(heard):
    assert not any(seen["left behind"] for seen in heard[1] + heard[3]) and "unseen" not in heard[1][0]
    assert all("an output folder that all 3 processes see" in seen["unseen"] for seen in heard[3])


def test_a_collection_that_is_not_everywhere_the_same_is_refused_by_all(heard):
    assert "other texts" not in heard[1][0]
    assert all("the same collection on all 3 processes" in seen["other texts"] for seen in heard[3])


def test_where_rank_0_fails_in_a_training_the_others_end(tmp_path):
    run_in_processes(2, fail_in_training, str(tmp_path))
    assert (tmp_path / "failed-0").read_text() == "ValueError: the disk is full"
    assert "one that has ended" in (tmp_path / "failed-1").read_text()


@pytest.mark.parametrize("queries", [97, 12])
def test_scores_are_those_of_one_process_bit_for_bit(tmp_path, queries):
    for count in (1, 2, 3):
        run_in_processes(count, score_and_encode, str(tmp_path), queries)
    alone, two, three = (np.load(tmp_path / f"scores-{count}-{queries}.npz") for count in (1, 2, 3))
    assert np.isfinite(alone["found"]).all() and np.ptp(alone["found"], axis=1).min() > 1e-3
    for several in (two, three):
        np.testing.assert_array_equal(several["found"], alone["found"])
        np.testing.assert_array_equal(several["here"], alone["here"])


def test_one_process_needs_no_group():
    team = processes()
    assert (team.rank, team.size, team.leads) == (0, 1, True)
    assert team.map(Counting(2).times, [(1,), (2,)]) == [2, 4] and team.together("x", int, "3") == 3


@pytest.mark.parametrize(
    "error", [InputError(expected="a", got="b", remedy="c", consequence="d"), Stopped("Saved.")], ids=["input", "stop"]
)
def test_errors_can_be_sent(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error) and str(again) == str(error) and vars(again) == vars(error)
