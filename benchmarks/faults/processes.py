"""Commands of st-mta in processes of their own, forked from one that has imported everything."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

TIMEOUT = 180.0
PRELOADED = ["st_mta.cli.main", "st_mta.recipes.distill", "st_mta.recipes.evaluate", "benchmarks.faults.processes"]
NOBODY = 65534
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(PRELOADED)


@dataclass(frozen=True)
class Finished:
    """How a command ended: its exit code (negative for a signal; None: it did not end in time) and what it printed."""

    code: int | None
    printed: str
    seconds: float

    @property
    def messages(self) -> list[str]:
        """What the command line printed for errors; a progress bar may stand on the same line."""
        return re.findall(r"st-mta(?: [\w-]+)?: [^\n]*", self.printed)

    @property
    def traceback(self) -> str:
        """The last line of a traceback; empty where there is none."""
        if "Traceback (most recent call last)" not in self.printed:
            return ""
        last = re.findall(r"^[\w.]+(?:Error|Exception|Interrupt|Exit|Warning)?(?::.*)?$", self.printed, re.MULTILINE)
        return (last or self.printed.splitlines())[-1][:200]

    def wrong(self, *codes: int) -> str:
        """What is wrong with the answer: no message, several, a traceback, another exit code; empty if nothing."""
        if self.code is None:
            return f"did not end within {TIMEOUT:.0f} s"
        if self.traceback:
            return f"traceback: {self.traceback}"
        if self.code not in codes:
            return f"exit code {self.code}: {' | '.join(self.messages)[:200] or self.printed[-200:].strip()}"
        if self.code and len(self.messages) != 1:
            return f"exit code {self.code} with {len(self.messages)} messages: {self.printed[-200:].strip()}"
        return ""


class Command:
    """A command that runs.

    Args:
        arguments: As behind ``st-mta``.
        folder: The working folder; what it prints goes to a file beside it.
        environment: Variables to set.
        as_nobody: Whether to give up the rights of root, which no forbidden file stops.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str] | None = None,
        as_nobody: bool = False,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.output = folder.parent / f"{folder.name}-{time.monotonic_ns()}.printed"
        chosen = ([*arguments], str(folder), str(self.output), environment or {}, as_nobody)
        self.process: ForkServerProcess = CONTEXT.Process(target=_work, args=chosen)
        self.start = time.perf_counter()
        self.process.start()

    @property
    def running(self) -> bool:
        """Whether it runs."""
        return self.process.is_alive()

    def send(self, number: int) -> None:
        """Sends it a signal, if it still runs."""
        if self.process.pid and self.running:
            os.kill(self.process.pid, number)

    def wait(self, timeout: float = TIMEOUT) -> Finished:
        """Waits for its end; kills it when the time is over."""
        self.process.join(timeout)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
        printed = self.output.read_text(errors="replace") if self.output.exists() else ""
        self.output.unlink(missing_ok=True)
        return Finished(code, printed, time.perf_counter() - self.start)

    def wait_for(self, condition: Callable[[], bool], timeout: float = TIMEOUT) -> bool:
        """Waits until something is the case, or it ended; returns which."""
        end = time.perf_counter() + timeout
        while self.running and time.perf_counter() < end:
            if condition():
                return True
            time.sleep(0.01)
        return condition()


def run(arguments: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> Finished:
    """Runs a command to its end."""
    return Command(arguments, folder, environment).wait()


def run_afresh(arguments: Sequence[str], folder: Path, environment: dict[str, str]) -> Finished:
    """Runs a command in a process that reads its variables as it imports, as the client of the Hub does."""
    start = time.perf_counter()
    here = {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-m", "st_mta", *arguments], cwd=folder, env={**os.environ, **environment, **here},
        capture_output=True, text=True, check=False, timeout=TIMEOUT,
    )  # fmt: skip
    return Finished(done.returncode, done.stdout + done.stderr, time.perf_counter() - start)


def _work(arguments: list[str], folder: str, output: str, environment: dict[str, str], as_nobody: bool) -> None:
    """In the new process: the command as the shell would start it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(output, "w", encoding="utf-8", errors="replace") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    os.environ.update(environment)
    os.chdir(folder)
    if as_nobody:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    from st_mta.cli.main import main
    from st_mta.training import throughput

    throughput.SECONDS_PER_ROUND = 0.002
    sys.exit(main(arguments))
