"""How stages are run: in their own time, one after the other, written as they go, and not twice."""

from __future__ import annotations

import json
import sys
import types

import pytest

from benchmarks.gpu import running
from benchmarks.gpu.page import page
from benchmarks.gpu.record import DONE, FAILED, NO_TIME, RUNNING, TIMED_OUT, Record, read
from benchmarks.gpu.running import Plan, perform, run_all
from benchmarks.gpu.stages import STAGES, Stage


class Process:
    """Stands for a stage's process: works at once, or never ends."""

    pid, exitcode = None, 0

    def __init__(self, work=lambda: None, ends=True, exitcode=0):
        work()
        self.alive, self.exitcode = not ends, exitcode

    def join(self, timeout=None):
        pass

    def is_alive(self):
        return self.alive

    def kill(self):
        self.alive, self.exitcode = False, -9


@pytest.fixture
def plan(tmp_path):
    stages = [STAGES["versions"], STAGES["stops"]]
    return Plan(stages, tmp_path / "out", tmp_path / "work", 1000, dry=True)


def module(monkeypatch, run):
    name = "benchmarks_of_a_test"
    monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(run=run))
    monkeypatch.setattr(Stage, "module", name)


def test_a_stage_writes_what_it_found_before_it_failed(plan, monkeypatch):
    def run(bench):
        bench.row("table", a=1)
        with bench.part("one"):
            raise ValueError("of a part")
        bench.note("after", 2)
        raise KeyError("of the stage")

    module(monkeypatch, run)
    content = perform("versions", plan, 5)
    assert content == read(plan.file(STAGES["versions"]))
    assert content["status"] == FAILED and content["found"] == {"table": [{"a": 1}], "after": 2}
    assert "ValueError: of a part" in content["errors"]["one"] and "KeyError" in content["errors"]["stage"]


def test_a_stage_whose_part_failed_has_failed_and_others_are_done(plan, monkeypatch):
    def run(bench):
        with bench.part("one"):
            raise ValueError

    module(monkeypatch, run)
    assert perform("versions", plan, 5)["status"] == FAILED
    module(monkeypatch, lambda bench: bench.note("left", bench.left))
    done = perform("versions", plan, 5)
    assert done["status"] == DONE and 4 < done["found"]["left"] <= 5


def test_a_time_out_and_a_crash_end_one_stage_alone_and_what_they_found_stays(plan):
    def start(name, plan, seconds):
        Record(plan.file(STAGES[name]), name, **running._identity(plan)).note("first", name)
        return Process(ends=name != "versions", exitcode=-11)

    hung, crashed = run_all(plan, start)
    assert (hung["status"], crashed["status"]) == (TIMED_OUT, FAILED)
    assert hung["found"] == {"first": "versions"} and "not done after 160 s" in hung["errors"]["stage"]
    assert "exit code -11" in crashed["errors"]["stage"]
    assert json.loads((plan.output / "result.json").read_text())["stages"].keys() == {"versions", "stops"}


def test_what_is_done_is_not_run_again_unless_source_or_size_differ(plan, monkeypatch):
    started = []

    def start(name, plan, seconds):
        started.append((name, seconds))
        return Process(lambda: Record(plan.file(STAGES[name]), name, **running._identity(plan)).end(DONE))

    run_all(plan, start)
    assert started == [("versions", 160), ("stops", 240)]
    run_all(plan, start)
    assert len(started) == 2
    run_all(Plan(plan.stages, plan.output, plan.work, 100, dry=False), start)
    assert len(started) == 4
    monkeypatch.setattr(running, "source_digest", lambda: "another")
    run_all(Plan(plan.stages, plan.output, plan.work, 100, dry=False), start)
    run_all(Plan(plan.stages[:1], plan.output, plan.work, 100, dry=False, again=True), start)
    assert len(started) == 7


def test_stages_share_the_time_of_all(plan):
    given, clock = {}, iter([0.0, 0.0, 70.0, 97.0])

    def start(name, plan, seconds):
        given[name] = seconds
        return Process(lambda: Record(plan.file(STAGES[name]), name, **running._identity(plan)).end(DONE))

    # The clock is read once at the beginning and once for each stage.
    stages = [STAGES[name] for name in ("versions", "stops", "search")]
    contents = run_all(Plan(stages, plan.output, plan.work, 100), start, lambda: next(clock))
    assert given == {"versions": 40, "stops": 30}
    assert [content["status"] for content in contents] == [DONE, DONE, NO_TIME]


def test_the_longest_stages_fit_into_nine_minutes_but_for_the_last():
    limits = [stage.limit for stage in STAGES.values()]
    assert [*STAGES][-1] == "assistants" and limits[-1] == 200
    assert all(
        len(stage.what) > 10 and hasattr(running.importlib.import_module(stage.module), "run")
        for stage in STAGES.values()
    )


def test_the_page_shows_tables_findings_and_errors():
    found = {
        "device": "a GPU",
        "versions": {"torch": "2"},
        "peaks": [{"what": "a|b", "value": 1234.5}, {"unit": True}],
    }
    content = {"stage": "versions", "status": RUNNING, "seconds": 1.5, "errors": {"x": "1\n2\nEnd: y"}, "found": found}
    shown = page([content], dry=False)
    assert "| versions | running | 1.5 | x |" in shown and "- versions: torch 2" in shown
    assert "| what | value | unit |\n| --- | --- | --- |\n| a/b | 1,234 | – |\n| – | – | yes |" in shown
    assert "    End: y" in shown and "Toy sizes" not in shown
    assert "Toy sizes" in page([content], dry=True)
