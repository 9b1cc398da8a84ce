"""Stopping on SIGTERM, which Slurm, Kubernetes and systemd send some seconds before they kill."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CODE = 128 + signal.SIGTERM


class Stopped(SystemExit):
    """The process was asked to stop; says what was saved. Its exit code is 143.

    Args:
        saved: What was saved, as a sentence.
    """

    code: int

    def __init__(self, saved: str = "What was finished is kept.") -> None:
        super().__init__(CODE)
        self.saved = saved

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.saved,)

    def __str__(self) -> str:
        return f"stopped by SIGTERM. {self.saved} The same command resumes where it stopped."


class _Asked:
    """Which process is asked to stop, whether it was, and whether it lets a training save a checkpoint first."""

    process = 0
    to_stop = False
    to_wait = False


@contextmanager
def stopping_on_sigterm() -> Iterator[None]:
    """Within it the first SIGTERM raises [`Stopped`], in a training at its next step; a second one kills.

    Only the main thread can be interrupted: in others it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _Asked.process = os.getpid()
    former = signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former or signal.SIG_DFL)
        _Asked.to_stop = _Asked.to_wait = False


def wait_for_checkpoint(wait: bool) -> None:
    """Whether from now on a training will stop by itself when it finds that it was [`asked_to_stop`]."""
    _Asked.to_wait = wait
    if _Asked.to_stop and not wait:
        raise Stopped


def asked_to_stop() -> bool:
    """Whether a SIGTERM came while a training ran."""
    return _Asked.to_stop


def _stop(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.getpid() != _Asked.process:  # a worker of a data loader, which its parent ends in this way
        os.kill(os.getpid(), signal.SIGTERM)
        return
    _Asked.to_stop = True
    if not _Asked.to_wait:
        raise Stopped
    if os.environ.get("RANK", "0") == "0":  # of the processes of a launcher the first speaks
        os.write(2, b"\nSIGTERM: stopping after this training step.\n")
