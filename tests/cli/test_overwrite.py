"""What a run may replace: what a run wrote, and only when everything is loaded and checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from st_mta.cli.main import main
from st_mta.run.folder import RunFolder
from tests.cli.test_main import data, distill_arguments, refused  # noqa: F401


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):  # noqa: F811
    folder = tmp_path_factory.mktemp("overwrite") / "out"
    assert main([str(a) for a in distill_arguments(data, folder)]) == 0
    return folder


@pytest.fixture
def out(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "out")


def snapshot(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def changed(arguments, flag, value):
    return [value if arguments[index - 1] == flag else argument for index, argument in enumerate(arguments)]


@pytest.mark.parametrize(
    "mistake",
    [
        ("--teacher", "no-such-model"),
        ("--student", "no-such-model"),
        ("--collection", "no-such-folder"),
        ("--fusion", "nomodule:rule"),
        ("--assistants", "bm25 bm25"),
        ("--num-candidates", "1"),
    ],
    ids=lambda mistake: mistake[0],
)
def test_a_mistake_costs_nothing(data, out, capsys, mistake):  # noqa: F811
    before = snapshot(out)
    arguments = [*distill_arguments(data, out), "--overwrite"]
    flag, value = mistake
    arguments = changed(arguments, flag, value) if flag in arguments else [*arguments, flag, value]
    if " " in value:
        place = arguments.index(value)
        arguments[place : place + 1] = value.split()
    refused(capsys, *arguments)
    assert snapshot(out) == before


def test_files_of_others_stay(data, out, caplog):  # noqa: F811
    names = ("thesis.tex", "runs/of-somebody.trec", "plots/mine.png", "notes/a.md", "student/mine.py")
    names += ("student/1_Pooling/mine.txt", "student-embeddings/mine.npy", "warm-up/a.csv", "iteration-00/mine.json")
    for name in names:
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(name)
    assert main([str(a) for a in [*distill_arguments(data, out), "--seed", "7", "--overwrite"]]) == 0
    assert {name: (out / name).read_text() for name in names} == {name: name for name in names}
    assert (out / "student/modules.json").exists() and not list(out.rglob("*.tmp"))
    assert "Left in place" in caplog.text and "7 files" in caplog.text


@pytest.mark.parametrize("inside", ["data", "store"])
def test_a_folder_that_holds_an_input_is_no_output_folder(data, finished, tmp_path, capsys, inside):  # noqa: F811
    project = tmp_path / "project"
    shutil.copytree(finished, project)
    for name in ("data", "teacher", "student"):
        shutil.copytree(data / name, (project if name == inside else tmp_path) / "deep" / name)
    (project / "deep" / "store").mkdir(parents=True, exist_ok=True)
    arguments = distill_arguments(data, project)
    if inside == "store":
        arguments += ["--store", project / "deep" / "store"]
    else:
        arguments = changed(arguments, {"data": "--collection"}.get(inside, f"--{inside}"), project / "deep" / inside)
    before = snapshot(project)
    assert "of the run's own" in refused(capsys, *arguments, "--seed", "7", "--overwrite")
    assert snapshot(project) == before


def test_the_collections_folder_is_no_output_folder(data, tmp_path, capsys):  # noqa: F811
    shutil.copytree(data / "data", tmp_path / "data")
    before = snapshot(tmp_path)
    arguments = changed(distill_arguments(data, tmp_path / "data"), "--collection", tmp_path / "data")
    for more in ([], ["--overwrite"]):
        assert "itself" in refused(capsys, *arguments, *more)
    assert snapshot(tmp_path) == before


def test_a_link_can_be_an_output_folder(data, out, tmp_path):  # noqa: F811
    (tmp_path / "link").symlink_to(out, target_is_directory=True)
    arguments = [*distill_arguments(data, tmp_path / "link"), "--seed", "8", "--overwrite"]
    assert main([str(a) for a in arguments]) == 0
    assert (tmp_path / "link").is_symlink() and (out / "report.json").exists()


@pytest.mark.parametrize("spelt", [".", ".."])
def test_the_working_folder_is_no_output_folder_for_a_new_run(data, out, capsys, monkeypatch, spelt):  # noqa: F811
    (out / "work").mkdir()
    monkeypatch.chdir(out / "work" if spelt == ".." else out)
    (out / "mine.py").write_text("x")
    before = snapshot(out)
    assert "working folder" in refused(capsys, *distill_arguments(data, spelt), "--seed", "9", "--overwrite")
    assert snapshot(out) == before
    RunFolder(Path(spelt)).refuse_unusable([str(data)])  # the run that is there resumes


def test_a_home_folder_is_no_output_folder(data, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert "home folder" in refused(capsys, *distill_arguments(data, tmp_path / "home"))


@pytest.mark.parametrize("role", ["--teacher", "--student", "--assistants"])
@pytest.mark.parametrize("more", [[], ["--overwrite"]], ids=["", "overwrite"])
def test_a_run_never_replaces_its_own_inputs(data, out, capsys, role, more):  # noqa: F811
    before = snapshot(out)
    for spec in (out / "student", f"late-interaction:{out / 'student'}"):
        arguments = changed(distill_arguments(data, out), role, spec)
        assert "the run would" in refused(capsys, *arguments, *more)
    assert snapshot(out) == before


def test_a_folder_that_is_no_run_keeps_what_has_the_name_of_an_output(data, tmp_path, capsys):  # noqa: F811
    shutil.copytree(data / "student", tmp_path / "work" / "student-before")
    before = snapshot(tmp_path / "work")
    for more in ([], ["--overwrite"]):
        assert "student-before" in refused(capsys, *distill_arguments(data, tmp_path / "work"), *more)
    assert snapshot(tmp_path / "work") == before


def test_no_token_is_written_down(data, tmp_path):  # noqa: F811
    token = "hf_" + "abcDEF123" * 3
    arguments = distill_arguments(
        data, tmp_path / "out", "--training", f'{{"hub_token": "{token}", "warmup_steps": 2}}'
    )
    assert main([str(a) for a in arguments]) == 0
    assert "warmup_steps" in yaml.safe_load((tmp_path / "out/config.yaml").read_text())["training"]
    assert not [path for path, content in snapshot(tmp_path / "out").items() if token.encode() in content]
