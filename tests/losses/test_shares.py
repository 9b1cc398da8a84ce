"""Shares of a mean over several processes, worked by hand; with real processes in tests/training."""

from __future__ import annotations

import pytest
import torch

from st_mta.losses import shares
from st_mta.losses.shares import ALONE, UNKNOWN, Copies, mean_counts, row_shares
from st_mta.losses.similarity import mean_over

TRUE, FALSE = True, False


@pytest.fixture
def two(monkeypatch):
    """Makes this process the first of two; what the other one has is given."""

    def others(rows, *, longest=None, total=None):
        monkeypatch.setattr(shares, "num_processes", lambda: 2)
        monkeypatch.setattr(shares, "longest_of", lambda _: longest)
        monkeypatch.setattr(shares, "with_others", lambda mine, _: torch.cat([mine, torch.tensor(rows)]))
        monkeypatch.setattr(shares, "summed", lambda counts: counts + torch.tensor(total))

    return others


def test_a_query_weighs_the_same_wherever_it_is(two):
    """One list of 6 here; 1, 2 and 3 there: the mean of all is 3, and DDP takes the mean of both gradients."""
    here, there = torch.tensor([6.0]), torch.tensor([1.0, 2.0, 3.0])
    two([], total=[3.0])
    count = mean_counts(torch.tensor([TRUE]))[0]
    assert count == 2
    values = [mean_over(side, torch.ones(len(side), dtype=torch.bool), count) for side in (here, there)]
    assert sum(values) / 2 == 3


def test_no_list_in_any_process_is_nothing_to_divide_by_zero(two):
    two([], total=[0.0])
    assert mean_counts(torch.tensor([FALSE]))[0] == 0.5


def test_nothing_is_asked_without_gradients(two):
    two([], total=[3.0])
    with torch.no_grad():
        assert mean_counts(torch.tensor([TRUE]))[0] == 1
        assert row_shares(torch.ones(2)) is None


def test_passages_of_several_processes_are_found(two):
    """7 and 9 are here and there; 9 is valid there only; the other process has one row less, which is padding."""
    two([[9, 1, 1], [7, 0, 1], [0, 0, 0]], longest=3)
    copies = Copies(torch.tensor([7, 8, 9]), torch.tensor([TRUE, TRUE, FALSE]))
    assert copies.times.tolist() == [2, 1, 2]
    assert copies.first.tolist() == [TRUE, TRUE, TRUE, FALSE, FALSE, FALSE]
    assert copies.valid.tolist() == [TRUE, TRUE, TRUE, TRUE, TRUE, FALSE]


def test_rows_without_a_number_are_rows_of_their_own(two):
    two([[UNKNOWN, 1, 1], [UNKNOWN, 0, 1]], longest=2)
    copies = Copies(torch.tensor([UNKNOWN, 0]), torch.tensor([TRUE, TRUE]))
    assert copies.times.tolist() == [1, 1]
    assert copies.first.tolist() == [TRUE] * 4 and copies.valid.tolist() == [TRUE, TRUE, TRUE, FALSE]


def test_a_passage_of_two_processes_counts_once(two):
    two([[7, 1, 1]], longest=2, total=[0.5])
    copies = Copies(torch.tensor([7, 8]), torch.tensor([TRUE, TRUE]))
    share = row_shares(torch.ones(2, 4), copies)(torch.tensor([4.0, 10.0]))
    there = torch.tensor([4.0]) * 0.5
    assert (share + there.sum() / 1.0) / 2 == 7  # the mean of 4 and 10


def test_alone_nothing_changes():
    assert row_shares(torch.ones(3)) is None
    assert mean_counts(torch.tensor([TRUE, FALSE, TRUE]), torch.tensor([FALSE])).tolist() == [2, 1]
    copies = Copies(torch.tensor([5, UNKNOWN, 6]), torch.tensor([TRUE, FALSE, TRUE]))
    assert copies.times.tolist() == [1, 1, 1] and copies.first.all() and copies.valid.tolist() == [TRUE, FALSE, TRUE]
    values = torch.tensor([1.0, 2.0])
    assert ALONE.mean_of_queries(values) == ALONE.mean_of_documents(values) == 1.5
