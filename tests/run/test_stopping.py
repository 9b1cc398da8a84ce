"""SIGTERM ends a command with one line and exit code 143."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from st_mta.cli import distill
from st_mta.cli import main as command
from st_mta.run import stopping as module
from st_mta.run.stopping import Stopped, asked_to_stop, stopping_on_sigterm, wait_for_checkpoint


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_is_raised_at_once_outside_of_a_training_and_the_handler_restored():
    former = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, stopping_on_sigterm():
        terminate()
        pytest.fail("not stopped")
    assert stopped.value.code == 143 and signal.getsignal(signal.SIGTERM) == former and not asked_to_stop()


def test_a_training_is_only_asked_and_what_follows_it_is_stopped():
    with pytest.raises(Stopped), stopping_on_sigterm():
        wait_for_checkpoint(True)
        terminate()
        assert asked_to_stop()
        wait_for_checkpoint(False)
        pytest.fail("not stopped")
    assert not asked_to_stop()


def test_nothing_that_catches_exceptions_keeps_it():
    assert not issubclass(Stopped, Exception)


def test_other_threads_install_nothing():
    former, found = signal.getsignal(signal.SIGTERM), []

    def elsewhere():
        with stopping_on_sigterm():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [former]


def test_a_second_one_kills():
    script = """
import importlib.util, os, signal, sys
spec = importlib.util.spec_from_file_location("stopping", sys.argv[1])
stopping = importlib.util.module_from_spec(spec)
spec.loader.exec_module(stopping)
with stopping.stopping_on_sigterm():
    stopping.wait_for_checkpoint(True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("first", flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    print("second", flush=True)
"""
    done = subprocess.run([sys.executable, "-c", script, module.__file__], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "first\n")


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_the_command_says_one_line(monkeypatch, capsys, sent):
    # The signal is handled when Python comes to it.
    monkeypatch.setattr(distill, "run", lambda _: (os.kill(os.getpid(), sent), time.sleep(5)))
    monkeypatch.setattr(command, "parse", lambda *_: None)
    former = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start what is in the background without
    try:
        assert command.main(["distill"]) == (143 if sent == signal.SIGTERM else 130)
    finally:
        signal.signal(signal.SIGINT, former)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "same command resumes" in said


def test_a_child_process_ends_as_ever():
    with stopping_on_sigterm():
        wait_for_checkpoint(True)
        if not (child := os.fork()):
            terminate()
            os._exit(0)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
        assert not asked_to_stop()
