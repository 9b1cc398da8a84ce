"""Every stage in a process of its own, which is ended with all that it started when its time is over.

Processes are forked from one that has imported the libraries, which takes as long as a stage; that one never touches
the GPU.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from benchmarks.gpu.page import write_results
from benchmarks.gpu.record import DONE, FAILED, NO_TIME, RUNNING, TIMED_OUT, Content, Record, read, write
from benchmarks.gpu.source import source_digest
from benchmarks.gpu.stages import STAGES, Stage

CONTEXT = multiprocessing.get_context("forkserver")
PRELOADED = ["benchmarks.gpu.bench", "st_mta.cli.main", "st_mta.recipes.distill"]
SHORTEST = 5.0
"""Seconds without which no stage is begun."""
PATIENCE = 4
"""Times a stage's limit that it has in a dry run, on whatever machine."""
KEPT_LINES = 60
"""Of what a stage printed, where it ended without a word."""


@dataclass(frozen=True)
class Plan:
    """What a command runs.

    Attributes:
        stages: In the order in which to run them.
        output: Folder for the results.
        work: Folder for each stage's file and for models, stores and runs.
        limit: Seconds for all stages together.
        dry: Whether to run in toy sizes on the CPU.
        again: Whether stages that are done are run anew.
    """

    stages: Sequence[Stage]
    output: Path
    work: Path
    limit: float
    dry: bool = False
    again: bool = False

    def file(self, stage: Stage) -> Path:
        """The stage's file."""
        return self.work / f"{stage.name}.json"


Start = Callable[[str, Plan, float], ForkServerProcess]


def start(name: str, plan: Plan, seconds: float) -> ForkServerProcess:
    """Starts the process of a stage."""
    CONTEXT.set_forkserver_preload(PRELOADED)
    process = CONTEXT.Process(target=work, args=(name, plan, seconds))
    process.start()
    return process


def run_all(plan: Plan, starts: Start = start, now: Callable[[], float] = time.monotonic) -> list[Content]:
    """Runs what is not done yet, and writes all results after every stage.

    Args:
        plan: What to run.
        starts: Starts a stage's process.
        now: The clock.
    """
    began = now()
    for stage in plan.stages:
        if _is_done(stage, plan):
            print(f"{stage.name}: done before", flush=True)
            continue
        seconds = min(stage.limit * (PATIENCE if plan.dry else 1), plan.limit - (now() - began))
        if seconds < SHORTEST:
            write(plan.file(stage), _empty(stage, plan, NO_TIME))
        else:
            write(plan.file(stage), _empty(stage, plan, RUNNING))
            _run(stage, plan, seconds, starts)
        found = _results(plan)
        write_results(plan.output, found, plan.dry)
        print(_line(read(plan.file(stage)) or {}), flush=True)
    return _results(plan)


def _is_done(stage: Stage, plan: Plan) -> bool:
    """Whether its file was written by this source, in the same sizes, and is not to be written again."""
    known = read(plan.file(stage))
    wanted = {"status": DONE, **_identity(plan)}
    return known is not None and not plan.again and all(known.get(name) == value for name, value in wanted.items())


def _identity(plan: Plan) -> dict[str, Any]:
    return {"dry": plan.dry, "source": source_digest()}


def _results(plan: Plan) -> list[Content]:
    """Of all stages that have a file, whether or not this command was to run them."""
    return [content for stage in STAGES.values() if (content := read(plan.file(stage))) is not None]


def _run(stage: Stage, plan: Plan, seconds: float, starts: Start) -> None:
    process = starts(stage.name, plan, seconds)
    began = time.monotonic()
    process.join(seconds)
    in_time = not process.is_alive()
    with suppress(ProcessLookupError, TypeError):
        os.killpg(process.pid, signal.SIGKILL)  # type: ignore[arg-type]
    if not in_time:
        process.kill()
    process.join()
    content = read(plan.file(stage)) or _empty(stage, plan, RUNNING)
    if content["status"] == RUNNING:
        why = f"not done after {seconds:.0f} s" if not in_time else f"exit code {process.exitcode}"
        content["status"] = FAILED if in_time else TIMED_OUT
        content["errors"]["stage"] = f"{why}\n{_printed(plan, stage.name)}"
        content["seconds"] = round(time.monotonic() - began, 2)
        write(plan.file(stage), content)


def _empty(stage: Stage, plan: Plan, status: str) -> Content:
    return {"stage": stage.name, "status": status, "seconds": 0.0, **_identity(plan), "errors": {}, "found": {}}


def work(name: str, plan: Plan, seconds: float) -> None:
    """A stage's process: runs it, and writes down how it ended."""
    os.setsid()  # so that it can be ended with all that it starts
    with open(_log(plan, name), "w", encoding="utf-8") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())
    perform(name, plan, seconds)


def perform(name: str, plan: Plan, seconds: float) -> Content:
    """Runs a stage in this process."""
    from benchmarks.gpu.bench import Bench

    record = Record(plan.file(STAGES[name]), name, **_identity(plan))
    try:
        importlib.import_module(STAGES[name].module).run(Bench(record, plan.work, plan.dry, seconds))
    except BaseException:
        record.end(FAILED, traceback.format_exc())
    else:
        record.end(DONE)
    return record.content


def _log(plan: Plan, name: str) -> Path:
    return plan.work / f"{name}.log"


def _printed(plan: Plan, name: str) -> str:
    """The last lines that a stage printed."""
    log = _log(plan, name)
    return "\n".join(log.read_text(errors="replace").splitlines()[-KEPT_LINES:]) if log.exists() else ""


def _line(content: Content) -> str:
    errors = content.get("errors", {})
    last = [f"{part}: {text.strip().splitlines()[-1]}" for part, text in errors.items() if text.strip()]
    return f"{content.get('stage')}: {content.get('status')} in {content.get('seconds')} s" + "".join(
        f"\n    {line[:300]}" for line in last
    )
