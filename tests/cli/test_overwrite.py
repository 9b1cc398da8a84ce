"""What a run may replace: what a run wrote, and only when everything is loaded and checked."""

from __future__ import annotations

import shutil

import pytest
import yaml

from st_mta.cli.main import main
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


def test_files_of_others_stay(data, out):  # noqa: F811
    shutil.copytree(data / "data", out, dirs_exist_ok=True)
    for name in ("thesis.tex", "runs/of-somebody.txt", "plots/mine.svg", "notes/a.md"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(name)
    theirs = {path: text for path, text in snapshot(out).items() if path.suffix in (".tex", ".txt", ".svg", ".jsonl")}
    arguments = changed(distill_arguments(data, out), "--collection", out)
    assert main([str(a) for a in [*arguments, "--seed", "7", "--overwrite"]]) == 0
    after = snapshot(out)
    assert {path: after[path] for path in theirs} == theirs
    assert (out / "notes/a.md").exists() and (out / "student/modules.json").exists()


def test_the_working_folder_and_a_link_can_be_output_folders(data, out, tmp_path, monkeypatch):  # noqa: F811
    (tmp_path / "link").symlink_to(out, target_is_directory=True)
    arguments = [*distill_arguments(data, tmp_path / "link"), "--seed", "8", "--overwrite"]
    assert main([str(a) for a in arguments]) == 0
    assert (tmp_path / "link").is_symlink() and (out / "report.json").exists()
    monkeypatch.chdir(out)
    (out / "mine.py").write_text("x")
    arguments = [*distill_arguments(data, "."), "--seed", "9", "--overwrite"]
    assert main([str(a) for a in arguments]) == 0
    assert (out / "mine.py").exists()


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
