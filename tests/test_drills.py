"""The fault drills: what counts as survived, and that a stopped run of them goes on with the same ones."""

from __future__ import annotations

import json
from functools import partial

import pytest

from benchmarks.faults.__main__ import summary
from benchmarks.faults.drills import BEFORE, Drill, Skipped, all_drills
from benchmarks.faults.processes import Finished
from benchmarks.faults.running import entries, outcome

TRACEBACK = 'Traceback (most recent call last):\n  File "x.py", line 1\nKeyError: 3\n'


def test_drills_have_names_of_their_own_and_are_the_same_every_time():
    names = [(drill.category, drill.name) for drill in all_drills(0)]
    assert len(names) == len(set(names)) > 1500
    assert names == [(drill.category, drill.name) for drill in all_drills(0)]
    assert {category for category, _ in names} == BEFORE.keys()


@pytest.mark.parametrize(
    ("code", "printed", "wrong"),
    [
        (0, "fine", ""),
        (2, "a log line\nst-mta distill: Expected a, got b.", ""),
        (2, "st-mta distill: a\nst-mta distill: b", "2 messages"),
        (2, "usage", "0 messages"),
        (2, " 50%|##  | 1/2 st-mta distill: The disk is full.", ""),
        (1, TRACEBACK, "KeyError: 3"),
        (2, f"st-mta distill: x\n{TRACEBACK}", "KeyError: 3"),
        (-9, "", "exit code -9"),
        (None, "", "did not end"),
    ],
)
def test_what_counts_as_an_answer(code, printed, wrong):
    found = Finished(code, printed, 0.1).wrong(0, 2)
    assert wrong in found and bool(found) == bool(wrong)


class Work:
    """Stands for the material of the drills."""

    def __init__(self, work):
        self.work = work


def says(_, folder, text):
    if text == "skip":
        raise Skipped("no root")
    if text == "fail":
        raise ValueError("oh")
    return f"{folder}{text}" if text else ""


def test_outcomes_are_counted(tmp_path):
    done = [
        outcome(Work(tmp_path), Drill("kills", text, partial(says, text=text))) for text in ("", "/x", "skip", "fail")
    ]
    assert [entry["outcome"] for entry in done] == [
        "", "FOLDER/x", "no root", "the drill itself failed (ValueError: oh)",
    ]  # fmt: skip
    result = summary(done, 0)
    assert result["categories"] == {"kills": {"tried": 3, "survived": 1, "before": BEFORE["kills"]}}
    assert [entry["name"] for entry in result["not_survived"]] == ["/x", "fail"]
    assert [entry["name"] for entry in result["skipped"]] == ["skip"]
    assert not [*tmp_path.glob("drill-*")]


def test_a_line_cut_short_is_passed_over(tmp_path):
    (tmp_path / "done.jsonl").write_text(json.dumps({"a": 1}) + '\n{"a": ')
    assert entries(tmp_path / "done.jsonl") == [{"a": 1}]
