"""A distillation that is killed in a training and between two stages, and resumed: whether weights are the same.

Beside it stands a run that is simply made again: where that differs already, the device does not repeat its sums.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults.processes import Command, Finished
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.toy_runs import arguments, finished_stages, largest_difference

WHOLE, AGAIN, KILLED = "whole", "again", "killed"
FIRST = "iteration-00"


def run(bench: Bench) -> None:
    """Notes whether the weights are the same, and what the kills came upon."""
    for name in (WHOLE, AGAIN, KILLED):
        for folder in (bench.folder / name, bench.folder / f"store-{name}"):
            shutil.rmtree(folder, ignore_errors=True)
    bench.note("seconds of a run", round(_ended(bench, WHOLE).seconds, 1))
    with bench.part(AGAIN):
        _ended(bench, AGAIN)
        _compare(bench, AGAIN, [])
    with bench.part(KILLED):
        out = bench.folder / KILLED
        in_training = _kill(bench, lambda: any((out / FIRST / "checkpoints").glob("checkpoint-*")))
        between = _kill(bench, lambda: f"{FIRST}/train" in finished_stages(out))
        _ended(bench, KILLED)
        _compare(bench, KILLED, [in_training, between])


def _compare(bench: Bench, name: str, kills: list[str]) -> None:
    difference = largest_difference(bench.folder / WHOLE, bench.folder / name)
    bench.row("runs", run=name, same_weights=difference == 0, difference=difference, kills="; ".join(kills) or None)


def _command(bench: Bench, name: str) -> Command:
    device = "cpu" if bench.device.type == "cpu" else str(bench.device)
    return Command(arguments(bench.folder, name, device, bench.sized(10, 1)), bench.folder / "here")


def _ended(bench: Bench, name: str) -> Finished:
    done = _command(bench, name).wait(max(1.0, bench.left - 2))
    if done.code != 0:
        raise RuntimeError(f"the run {name} ended with {done.code}:\n{done.printed[-3000:]}")
    return done


def _kill(bench: Bench, when: Callable[[], bool]) -> str:
    """Kills the run once something is the case; says what it had done by then."""
    command = _command(bench, KILLED)
    came = command.wait_for(when, max(1.0, bench.left - 2))
    command.send(signal.SIGKILL)
    done = command.wait()
    if not came or done.code != -signal.SIGKILL:
        raise RuntimeError(f"the run ended with {done.code} before it could be killed:\n{done.printed[-3000:]}")
    return _state(bench.folder / KILLED)


def _state(folder: Path) -> str:
    checkpoints = len(list(folder.rglob("checkpoint-*")))
    return f"{len(finished_stages(folder))} stages done, {checkpoints} checkpoints"
