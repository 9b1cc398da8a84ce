"""Several processes in one output folder."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from benchmarks.faults.processes import Command, run


def drills(seed: int) -> Iterator[Drill]:
    """14 pairs and 3 fours, at once or one after the other."""
    source = random.Random(seed + 1)
    for number in range(17):
        processes = 4 if number >= 14 else 2
        shares = [0.0 if number < 4 else source.uniform(0, 0.7) for _ in range(processes - 1)]
        yield Drill(
            "one folder shared", f"{processes} processes {number}", partial(_shared, shares=shares), alone=True
        )


def _shared(material: Material, folder: Path, shares: list[float]) -> str:
    command = material.distill(folder / "out", folder / "store")
    running = [Command(command, folder / "here")]
    for share in shares:
        running[0].process.join(share * material.seconds)
        running.append(Command(command, folder / "here"))
    ended = [process.wait() for process in running]
    for done in ended:
        if wrong := done.wrong(0, 2):
            return wrong
    if not any(done.code == 0 for done in ended):
        return f"nobody finished: {ended[0].messages}"
    return material.differs(folder / "out") or material.judged(run(command, folder / "here"), folder / "out")
