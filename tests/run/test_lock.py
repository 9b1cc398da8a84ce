"""One process at a time in an output folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from st_mta.cli.main import main
from st_mta.errors import InputError
from st_mta.run import lock as module
from st_mta.run.lock import locked, one_at_a_time

HOLD = """
import importlib.util, sys, time, types
errors = types.ModuleType("st_mta.errors")
errors.InputError = ValueError
outputs = types.ModuleType("st_mta.outputs")
outputs.check_output_folder = lambda path: path
sys.modules |= {"st_mta": types.ModuleType("st_mta"), "st_mta.errors": errors, "st_mta.outputs": outputs}
spec = importlib.util.spec_from_file_location("lock", sys.argv[1])
lock = importlib.util.module_from_spec(spec)
spec.loader.exec_module(lock)
from pathlib import Path
with lock.locked(Path(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""
"""Only the one file is loaded, since the whole package takes seconds."""


@pytest.fixture
def other(tmp_path):
    """Another process that works in tmp_path/out."""
    command = [sys.executable, "-c", HOLD, module.__file__, str(tmp_path / "out")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize(
    "command",
    [
        "distill --collection c --teacher t --student s",
        "evaluate --collection c --model bm25",
        "teacher --collection c --base b",
        "assistants --collection c --base b",
        "quickstart",
    ],
    ids=lambda command: command.split()[0],
)
def test_another_process_is_named_at_once(other, tmp_path, capsys, command):
    assert main([*command.split(), "--output-dir", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert f"process {other.pid} on {os.uname().nodename}" in said and "Traceback" not in said


def test_the_lock_ends_with_a_process_that_is_killed(other, tmp_path):
    with pytest.raises(InputError, match="no other process"), locked(tmp_path / "out"):
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    with locked(tmp_path / "out"):
        pass
    assert not (tmp_path / "out" / ".lock").exists()


def test_it_leaves_nothing_behind(tmp_path):
    with locked(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b" / ".lock").exists()
    assert not (tmp_path / "a").exists()
    with pytest.raises(RuntimeError), locked(tmp_path / "a"):
        (tmp_path / "a" / "file").touch()
        raise RuntimeError
    assert os.listdir(tmp_path / "a") == ["file"]


def test_the_same_thread_may_lock_again_under_any_name_and_another_may_not(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "out")
    refused = []

    def elsewhere():
        try:
            with locked(tmp_path / "out"):
                pass
        except InputError as error:
            refused.append(error)

    with locked(tmp_path / "out"):
        with locked(tmp_path / "link"), locked(tmp_path / "x" / ".." / "out"):
            pass
        assert (tmp_path / "out" / ".lock").exists()
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
    assert len(refused) == 1


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_worked_on_with_a_warning(tmp_path, monkeypatch, caplog, code):
    def none(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(module.fcntl, "flock", none)
    with locked(tmp_path / "out"):
        pass
    assert "cannot be locked" in caplog.text


@pytest.mark.parametrize("place", ["file", "file/below", "loop", "dangling/x"])
def test_a_place_that_takes_no_folder_is_one_message(tmp_path, place):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to("/proc/none")
    with pytest.raises(InputError, match="can be written"), locked(tmp_path / place):
        pass


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_folder_that_cannot_be_written_to_is_one_message(tmp_path, monkeypatch, code):
    def none(*_, **__):
        raise OSError(code, os.strerror(code), str(tmp_path))

    monkeypatch.setattr(os, "open", none)
    with pytest.raises(InputError, match=os.strerror(code)), locked(tmp_path):
        pass


def test_a_child_process_does_not_keep_the_lock(tmp_path):
    with locked(tmp_path):
        (child := os.fork()) or os._exit(bool(module._held))
        assert os.waitpid(child, 0)[1] == 0


def test_the_folder_is_found_among_any_arguments(tmp_path):
    class Config:
        output_dir = str(tmp_path / "b")

    @one_at_a_time
    def make(base, output_dir):
        return os.listdir(tmp_path), base

    @one_at_a_time
    def run(config):
        return os.listdir(tmp_path)

    assert make("x", tmp_path / "a") == (["a"], "x") == make(output_dir=str(tmp_path / "a"), base="x")
    assert run(Config()) == ["b"]
