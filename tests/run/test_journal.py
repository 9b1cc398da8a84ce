"""A stage works once."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from st_mta.errors import InputError
from st_mta.run import journal as module
from st_mta.run.journal import Journal
from st_mta.stores import Ledger


@dataclass(frozen=True)
class Answer:
    answer: int
    since: str | None = None


def opened(path, configuration, ledger=None):
    journal = Journal(path, configuration, ledger or Ledger())
    journal.open()
    return journal


def test_a_finished_stage_answers_from_the_file(tmp_path):
    ledger = Ledger()

    def work():
        ledger.pairs_scored += 5
        return Answer(42)

    first = opened(tmp_path / "state.json", {"a": 1}, ledger)
    assert first.run("one", work, Answer) == Answer(42)
    second = opened(tmp_path / "state.json", {"a": 1})
    assert second.run("one", lambda: pytest.fail("worked twice"), Answer) == Answer(42)
    assert second.counted()["pairs_scored"] == 5 and "two" not in second


def test_results_of_other_versions_are_read(tmp_path):
    journal = opened(tmp_path / "state.json", {})
    journal.run("old", lambda: {"answer": 1, "no_longer_there": 2}, dict)
    assert journal.result("old", Answer) == Answer(1, None)


def test_a_stage_that_breaks_is_not_recorded(tmp_path):
    journal = opened(tmp_path / "state.json", {})
    with pytest.raises(ZeroDivisionError):
        journal.run("one", lambda: {"x": 1 / 0}, dict)
    assert "one" not in opened(tmp_path / "state.json", {})


def test_nothing_is_written_before_it_is_opened(tmp_path):
    Journal(tmp_path / "state.json", {}, Ledger())
    assert not (tmp_path / "state.json").exists()


def test_another_configuration_is_refused_and_named(tmp_path):
    opened(tmp_path / "state.json", {"seed": 1})
    with pytest.raises(InputError, match="seed: 1 there, 2 now"):
        opened(tmp_path / "state.json", {"seed": 2})
    with pytest.raises(InputError, match="optim: None there"):
        opened(tmp_path / "state.json", {"seed": 1, "optim": "sgd"})


def test_what_an_older_version_did_not_write_down_is_not_compared(tmp_path, monkeypatch):
    """A new option of st_mta or of the host does not end the runs begun before there was one."""
    with monkeypatch.context() as patch:
        patch.setattr(module, "VERSIONS", {"st-mta": "0.0.1"})
        opened(tmp_path / "state.json", {"seed": 1, "gone": 3})
    opened(tmp_path / "state.json", {"seed": 1, "new": 2})
    with pytest.raises(InputError, match="seed"):
        opened(tmp_path / "state.json", {"seed": 2, "new": 2})


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"configuration": 3}', json.dumps({"stations": {}})])
def test_a_damaged_file_is_one_clear_message(tmp_path, content):
    (tmp_path / "state.json").write_text(content)
    with pytest.raises(InputError, match="state.json"):
        opened(tmp_path / "state.json", {})
