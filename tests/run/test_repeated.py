"""What a run reads again is what it wrote: a stage whose files were damaged is repeated, and said."""

from __future__ import annotations

import json

import pytest

from st_mta.atomic import atomic_write_text
from st_mta.run.journal import Journal
from st_mta.stores import Ledger


class Flow:
    """Three stages in one folder: each writes a file that holds what the one before wrote."""

    def __init__(self, root):
        self.root, self.worked, self.salt = root, [], ""

    def run(self):
        self.worked = []
        self.journal = Journal(self.root / "state.json", {"a": 1}, Ledger())
        self.journal.open()
        for number in range(3):
            self.journal.run(f"iteration-{number:02d}/mine", lambda number=number: self.work(number), dict)
        return self.worked

    def work(self, number):
        self.worked.append(number)
        folder = self.root / f"iteration-{number:02d}"
        before = (folder.with_name(f"iteration-{number - 1:02d}") / "a").read_text() if number else ""
        atomic_write_text(folder / "a", f"{before}{number}{self.salt}")
        atomic_write_text(folder / "log_history.json", f"{len(self.worked)} {self.salt} at some time of day")
        atomic_write_text(folder / "dev.trec", "for people")
        return {}


@pytest.fixture
def flow(tmp_path):
    flow = Flow(tmp_path / "out")
    assert flow.run() == [0, 1, 2] and flow.run() == []
    return flow


def flip(path):
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": flip,
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"x"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", [name for name in DAMAGES if name != "a folder"])
@pytest.mark.parametrize("name", ["a", "log_history.json"])
def test_a_stage_is_repeated_where_one_of_its_files_is_damaged(flow, caplog, damage, name):
    DAMAGES[damage](flow.root / "iteration-01" / name)
    assert flow.run() == [1] and flow.run() == []
    assert f"iteration-01/{name}" in caplog.text and "Repeating: iteration-01/mine" in caplog.text
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1
    assert (flow.root / "iteration-02" / "a").read_text() == "012"


def test_what_depended_on_other_files_is_repeated_too(flow):
    flip(flow.root / "iteration-00" / "a")
    flow.salt = "'"
    assert flow.run() == [0, 1, 2]
    assert (flow.root / "iteration-02" / "a").read_text() == "0'1'2'"


def test_a_kill_in_between_repeats_it_all_the_same(flow, monkeypatch):
    """The damaged file is whole again when the kill comes, but its content is not what the later stages saw."""
    flip(flow.root / "iteration-00" / "a")
    flow.salt = "'"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Journal, "_take", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        flow.run()
    assert flow.run() == [0, 1, 2]


def test_files_that_no_stage_reads_may_change(flow):
    (flow.root / "iteration-01" / "dev.trec").unlink()
    assert flow.run() == []


def test_what_older_versions_recorded_is_not_compared(flow):
    state = json.loads((flow.root / "state.json").read_text())
    for entry in state["stations"].values():
        del entry["files"]
    (flow.root / "state.json").write_text(json.dumps(state))
    flip(flow.root / "iteration-01" / "a")
    assert flow.run() == []


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_journal_is_read_from_its_copy(flow, caplog, damage):
    if damage in ("one bit", "longer"):
        flow.root.joinpath("state.json").write_text("[" + flow.root.joinpath("state.json").read_text()[1:])
    else:
        DAMAGES[damage](flow.root / "state.json")
    assert flow.run() == []
    assert damage == "missing" or "state.json" in caplog.text
    assert json.loads((flow.root / "state.json").read_text())["stations"].keys() == flow.journal.seconds().keys()


@pytest.mark.parametrize("damage", ["missing", "empty", "zeroed"])
def test_a_damaged_copy_does_no_harm(flow, damage):
    DAMAGES[damage](flow.root / "state.json.bak")
    assert flow.run() == []
