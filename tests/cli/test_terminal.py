"""What is printed: names shown and not obeyed, on every terminal and into every pipe."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from st_mta.cli import main as command
from st_mta.cli.main import main
from st_mta.cli.show import PlainConsole
from st_mta.errors import InputError
from st_mta.stores import Store

HOSTILE = "[/x] c[bold]x \x1b[2J \u202e naïve"


def test_names_in_tables_and_messages_are_shown_and_not_obeyed(tmp_path, capsys):
    Store(tmp_path).describe("f" * 16, HOSTILE, "bi-encoder")
    (tmp_path / "scores" / ("f" * 16)).mkdir(parents=True)
    assert main(["cache", "--store", str(tmp_path)]) == 0
    assert main(["mine", "--retrievers", "x", "--collection", HOSTILE, "--output", "m.parquet"]) == 2
    printed = capsys.readouterr()
    assert "[/x]" in printed.out and "c[bold]x" in printed.err
    for text in (printed.out, printed.err):
        assert "\x1b" not in text and "\u202e" not in text and "\\x1b[2J" in text
    assert printed.err.count("\n") == 1


def test_flags_are_shown_and_not_obeyed(capsys):
    with pytest.raises(SystemExit):
        main(["cache", f"--{HOSTILE}"])
    assert "\x1b" not in capsys.readouterr().err


@pytest.mark.parametrize(("verb", "near"), [("destil", "distill"), ("PUSH", "push"), ("push_scores", "push-scores")])
def test_a_verb_that_is_nearly_one(capsys, verb, near):
    assert main([verb]) == 2
    assert f"did you mean {near}?" in capsys.readouterr().err


def test_of_options_that_stand_twice_none_is_lost_in_silence(capsys, caplog, tmp_path):
    assert main(["mine", "--retrievers", "bm25", "--retrievers", "minilm"]) == 2
    assert "--retrievers once" in capsys.readouterr().err
    store = str(tmp_path / "store")
    assert main(["cache", "--store", store, "--clear", "abc", "--clear", "all"]) == 0
    assert "--clear stands 2 times (abc and all): the last one holds." in caplog.text
    caplog.clear()
    assert main(["cache", "--store", store, "--store", store]) == 0 and not caplog.text


def test_errors_of_the_system_are_messages_and_others_are_not(monkeypatch, capsys):
    for error, code in ((PermissionError(13, "Permission denied", "some/file"), 2), (InputError(
            expected="a", got="b", remedy="c"), 2)):  # fmt: skip
        monkeypatch.setattr(command, "parse", lambda *_, error=error: (_ for _ in ()).throw(error))
        assert main(["cache"]) == code
    assert "some/file" in capsys.readouterr().err
    monkeypatch.setattr(command, "parse", lambda *_: {}["a fault"])
    with pytest.raises(KeyError):
        main(["cache"])


SCRIPT = "import sys, st_mta.cli.main as m; m.VERBS['x'] = 'naïve\u2013'; sys.exit(m.main())"


@pytest.mark.parametrize(
    ("shell", "environment", "code", "printed"),
    [
        ("", {"PYTHONIOENCODING": "ascii"}, 0, "na\\xefve\\u2013"),
        (">&-", {}, 0, ""),
        ("| sleep 0", {}, 141, ""),
    ],
)
def test_streams_that_are_closed_narrow_or_deaf(tmp_path, shell, environment, code, printed):
    """In a process of its own, since it is about its streams."""
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    words = ["bash", "-c", f'set -o pipefail; "$@" {shell}', "-", sys.executable, "-c", SCRIPT, "--help"]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=given, check=False)
    assert (done.returncode, done.stderr) == (code, "") and printed in done.stdout


def test_a_table_into_a_pipe_that_nobody_reads():
    class Deaf(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        PlainConsole(file=Deaf()).print("x")


def test_modules_of_the_working_folder_are_not_imported_by_accident(tmp_path):
    (tmp_path / "yaml.py").write_text("raise SystemError('a module of the working folder')\n")
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-m", "st_mta", "--version"]
    assert subprocess.run(words, capture_output=True, cwd=tmp_path, env=given, check=False).returncode == 0


def test_a_configuration_in_the_output_folder_outlives_overwrite(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    (out / "state.json").write_text(json.dumps({"configuration": {}, "stations": {}}))
    text = "collection: pydocs\nteacher: bm25\nstudent: minilm\noutput_dir: out\nseed: 7  # mine\n"
    (out / "config.yaml").write_text(text)
    assert main(["distill", "--config", "out/config.yaml", "--overwrite"]) == 2
    assert "out/config.yaml" in capsys.readouterr().err
    assert (out / "config.yaml").read_text() == text
