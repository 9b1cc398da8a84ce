"""What a run wrote is known even where it was killed, and nothing else is deleted."""

from __future__ import annotations

import json
import os

import pytest

from st_mta.atomic import atomic_folder, atomic_write_text
from st_mta.errors import InputError
from st_mta.names import file_name
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.run.manifest import Manifest
from st_mta.stores import Ledger


def begun(root):
    folder = RunFolder(root)
    folder.prepare()
    journal = Journal(folder.journal, {}, Ledger())
    journal.open()
    return folder, journal


def write(folder, *names):
    for name in names:
        atomic_write_text(folder.root / name, name)


OWN = ("runs/T.trec", "plots/quality.png", "iteration-00/scores.npy", "iteration-117/lists.parquet", "report.json")
FOREIGN = ("runs/mine.trec", "plots/mine.png", "iteration-00/mine.npy", "student/notes.txt", "iteration-9/a", "a.tex")


@pytest.fixture
def run(tmp_path):
    folder, journal = begun(tmp_path / "out")
    journal.run("one", lambda: write(folder, *OWN) or {}, dict)

    def save():
        with atomic_folder(folder.student) as student:
            (student / "1_Pooling").mkdir()
            (student / "1_Pooling" / "config.json").write_text("{}")
            (student / "modules.json").write_text("[]")
        return {}

    journal.run("two", save, dict)
    for name in FOREIGN:
        (folder.root / name).parent.mkdir(exist_ok=True, parents=True)
        (folder.root / name).write_text("mine")
    return folder


def files(root):
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def test_only_what_the_run_wrote_is_deleted(run):
    others = run.clear()
    assert files(run.root) == {*FOREIGN, "manifest.jsonl"}
    assert {path.relative_to(run.root).as_posix() for path in others} == {*FOREIGN} - {"a.tex"}
    assert not (run.root / "student/1_Pooling").exists() and not (run.root / "iteration-117").exists()
    assert run.clear() == others and files(run.root) == {*FOREIGN, "manifest.jsonl"}
    run.refuse_unusable()  # what stayed does not keep the next run from beginning
    assert begun(run.root)[0].begun


def test_size_digest_and_stage_are_noted(run):
    lines = [json.loads(line) for line in run.manifest.path.read_text().splitlines() if line]
    noted = {line["path"]: line for line in lines if "path" in line}
    assert {*OWN, "student/modules.json"} <= noted.keys()
    assert noted["runs/T.trec"]["stage"] == "one" and noted["student/modules.json"]["stage"] == "two"
    assert noted["runs/T.trec"]["size"] == len("runs/T.trec") and len(noted["runs/T.trec"]["digest"]) == 32


@pytest.mark.parametrize("kills", range(1, 12))
def test_a_deletion_that_is_killed_is_finished(run, monkeypatch, kills):
    calls, unlink = [], os.unlink

    def dying(path, *arguments, **options):
        calls.append(path)
        if len(calls) == kills:
            raise KeyboardInterrupt
        unlink(path, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", dying)
        try:
            run.clear()
        except KeyboardInterrupt:
            run.refuse_unusable()
    again = RunFolder(run.root)
    again.prepare()
    assert files(run.root) == {*FOREIGN, "manifest.jsonl"} and not again.begun


def test_a_file_is_noted_before_it_has_its_name(tmp_path, monkeypatch):
    folder, journal = begun(tmp_path / "out")

    def killed(*_):
        raise KeyboardInterrupt

    def work():
        write(folder, "runs/a.trec")
        monkeypatch.setattr(os, "replace", killed)
        write(folder, "runs/b.trec")

    with monkeypatch.context(), pytest.raises(KeyboardInterrupt):
        journal.run("test", work, dict)
    monkeypatch.undo()
    noted = folder.manifest.path.read_text()
    assert "runs/a.trec" in noted and "runs/b.trec" in noted
    folder.clear()
    assert files(folder.root) == {"manifest.jsonl"}


@pytest.mark.parametrize(
    "line", ['{"path": "../mine"}', '{"path": "runs/../../mine"}', "[]", "{", '{"path": 5}', "\x00"]
)
def test_a_strange_manifest_leads_nowhere_else(run, tmp_path, line):
    (tmp_path / "mine").write_text("mine")
    with open(run.manifest.path, "a") as file:
        file.write(line)  # no end of line, as after a kill
    journal = Journal(run.journal, {}, Ledger())
    journal.open()
    journal.run("three", lambda: write(run, "runs/B.trec") or {}, dict)
    run.clear()
    assert (tmp_path / "mine").exists() and not (run.root / "runs/B.trec").exists()


def test_an_absolute_path_leads_nowhere_else(run, tmp_path):
    (tmp_path / "mine").write_text("mine")
    with open(run.manifest.path, "a") as file:
        file.write(json.dumps({"path": str(tmp_path / "mine")}))
    run.clear()
    assert (tmp_path / "mine").exists()


def test_a_run_of_an_earlier_version_is_known_by_names(tmp_path):
    folder = RunFolder(tmp_path)
    own = ("student/modules.json", "student/model.safetensors", "student/1_Pooling/config.json", "runs/T.trec")
    own += (
        "iteration-00/scores.npy",
        "iteration-00/student/tokenizer.json",
        "warm-up/student.unfinished/modules.json",
    )
    foreign = ("student/notes.txt", "student/mine.py", "iteration-00/mine.parquet", "iteration-00/sub/scores.npy")
    for name in own + foreign:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    folder.journal.write_text('{"configuration": {}, "stations": {}}')
    folder.prepare()
    assert files(tmp_path) == {*own, *foreign, "state.json", "manifest.jsonl"}
    folder.clear()
    assert files(tmp_path) == {*foreign, "manifest.jsonl"}


def test_a_folder_whose_journal_was_deleted_by_hand_is_not_begun_anew(run):
    for path in (run.journal, run.root / "state.json.bak"):
        path.unlink()
    with pytest.raises(InputError, match="where no run was begun"):
        run.refuse_unusable()
    assert run.clear() == [] and OWN[0] in files(run.root)


def test_leftovers_of_a_killed_run_go_and_files_like_them_stay(run):
    token = "0123456789abcdef" * 2
    ours = (f"plots/.quality.png-{token}.tmp", f".report.json-{token}.tmp", f"runs/.T.trec-{token}.tmp")
    theirs = ("plots/.mine.tmp", ".a-1234.tmp", f"mine/.b-{token}.tmp")
    (run.root / f"iteration-00/.student-{token}.tmp").mkdir()
    (run.root / f"iteration-00/.student-{token}.tmp/modules.json").touch()
    (run.root / "mine").mkdir()
    for name in ours + theirs:
        (run.root / name).touch()
    run.prepare()
    assert not any((run.root / name).exists() for name in ours) and all((run.root / name).exists() for name in theirs)
    assert not (run.root / f"iteration-00/.student-{token}.tmp").exists()


def test_nothing_outside_of_the_folder_is_noted(tmp_path):
    manifest = Manifest(tmp_path / "out")
    with manifest.recording("one") as found:
        atomic_write_text(tmp_path / "elsewhere", "x")
    assert found == {} and not manifest.exists()


@pytest.mark.parametrize(
    "name",
    ["x" * 300, "/home/me/" + "models/" * 60 + "my teacher", "é" * 200, "漢" * 90, "a\0b", "late:" + "/y" * 400],
)
def test_every_name_is_a_file_name(tmp_path, name):
    atomic_write_text(tmp_path / f"{file_name(name)}.trec", "x")
    assert file_name(name) == file_name(name) and len(list(tmp_path.iterdir())) == 1
    assert file_name(name) != file_name(name + "z") and "home" not in file_name(name)


def test_names_that_older_runs_could_write_are_as_they_were():
    assert file_name("a/b:c") == "a--b--c" and file_name("x" * 212) == "x" * 212


def test_a_file_system_with_short_names_is_found_out_at_once(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "deep" / "out")
    folder.refuse_long_names(["x" * 300])
    monkeypatch.setattr(os, "pathconf", lambda *_: 60)
    with pytest.raises(InputError, match="at most 60 bytes"):
        folder.refuse_long_names(["bm25", "x" * 56])
