"""Runs that are killed or asked to end at random moments, and resumed."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from benchmarks.faults.processes import Command, run


def drills(seed: int) -> Iterator[Drill]:
    """25 kills and 4 requests to end."""
    source = random.Random(seed)
    for number in range(25):
        yield Drill("kills", f"{number:02d}", partial(_killed, share=source.uniform(0.05, 0.95)))
    for number in range(4):
        yield Drill("termination", f"{number:02d}", partial(_terminated, share=source.uniform(0.1, 0.8)))


def _started(material: Material, folder: Path, share: float) -> Command:
    """A run, at a moment that is this share of the whole."""
    command = Command(material.distill(folder / "out", folder / "store"), folder / "here")
    command.process.join(share * material.seconds)
    return command


def _resumed(material: Material, folder: Path) -> str:
    return material.judged(run(material.distill(folder / "out", folder / "store"), folder / "here"), folder / "out")


def _killed(material: Material, folder: Path, share: float) -> str:
    command = _started(material, folder, share)
    command.send(signal.SIGKILL)
    command.wait()
    if wrong := _resumed(material, folder):
        return f"killed after {share:.0%}: {wrong}"
    left = [path.name for path in (folder / "out").rglob("*.tmp")]
    return f"killed after {share:.0%}: {left[0]} was left" if left else ""


def _terminated(material: Material, folder: Path, share: float) -> str:
    command = _started(material, folder, share)
    begun = command.wait_for(lambda: (folder / "out" / "state.json").exists())
    command.send(signal.SIGTERM)
    asked = time.perf_counter()
    done = command.wait()
    if begun and (wrong := done.wrong(143)):
        return f"after {share:.0%}: {wrong}"
    if time.perf_counter() - asked > 60:
        return f"after {share:.0%}: took more than a minute to end"
    return _resumed(material, folder)
