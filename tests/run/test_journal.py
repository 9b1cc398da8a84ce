"""A station works once."""

from __future__ import annotations

import pytest

from st_mta.errors import InputError
from st_mta.run.journal import Journal
from st_mta.stores import Ledger


def test_a_finished_station_answers_from_the_file(tmp_path):
    ledger = Ledger()

    def work():
        ledger.pairs_scored += 5
        return {"answer": 42}

    first = Journal(tmp_path / "state.json", {"a": 1}, ledger)
    assert first.run("one", work) == {"answer": 42}
    second = Journal(tmp_path / "state.json", {"a": 1}, Ledger())
    assert second.run("one", lambda: pytest.fail("worked twice")) == {"answer": 42}
    assert second.counted()["pairs_scored"] == 5 and "two" not in second


def test_a_station_that_breaks_is_not_recorded(tmp_path):
    journal = Journal(tmp_path / "state.json", {}, Ledger())
    with pytest.raises(ZeroDivisionError):
        journal.run("one", lambda: {"x": 1 / 0})
    assert "one" not in Journal(tmp_path / "state.json", {}, Ledger())


def test_another_configuration_is_refused_and_named(tmp_path):
    Journal(tmp_path / "state.json", {"seed": 1}, Ledger()).run("one", dict)
    with pytest.raises(InputError, match="seed: 1 there, 2 now"):
        Journal(tmp_path / "state.json", {"seed": 2}, Ledger())
