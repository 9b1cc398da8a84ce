"""How busy a training step keeps the GPU: with and without padding, worker processes and assistants."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from typing import Any

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.busy import Busy, Profiled
from benchmarks.gpu.trainings import Training

WARM = 3
"""Steps before anything is measured."""


def run(bench: Bench) -> None:
    """Measures each combination: seconds of a step without the profiler, then what it sees."""
    steps = bench.sized(15, 1)
    for training in trainings(bench):
        with bench.part(training.name):
            seconds, seen = measured(replace(training, steps=WARM + 2 * steps + 1), steps, bench)
            bench.row(
                "steps",
                batch=training.batch,
                packed=training.packed,
                workers=training.workers,
                ahead=training.ahead,
                assistants=training.assistants,
                milliseconds=round(1000 * seconds / steps, 2),
                busy_share=seen.share,
                kernels=round(seen.kernels / steps, 1),
                waits=round(seen.waits / steps, 1),
                copies=round(seen.copies / steps, 1),
            )


def trainings(bench: Bench) -> Iterator[Training]:
    """The combinations, in bf16 as a GPU trains."""
    if bench.dry:
        yield Training("kl", assistants=3, batch=8, packed=True, precision="bf16")
        return
    for packed, workers, assistants in product((False, True), (0, 2), (0, 3)):
        yield Training("kl", assistants, workers=workers, packed=packed, precision="bf16")
    for workers in (0, 2):
        yield Training("kl", 3, workers=workers, ahead=True, precision="bf16")
    for packed in (False, True):
        yield Training("kl", 3, batch=256, packed=packed, precision="bf16")


def measured(training: Training, steps: int, bench: Bench) -> tuple[float, Busy]:
    """Seconds of so many whole steps, and what the profiler saw of as many more."""
    profiled, found = Profiled(bench.device), dict[str, Any]()

    @contextmanager
    def around(number: int) -> Iterator[None]:
        if number == WARM:
            bench.wait()
            found["began"] = time.perf_counter()
        elif number == WARM + steps:
            bench.wait()
            found["seconds"] = time.perf_counter() - found["began"]
            profiled.start()
        elif number == WARM + 2 * steps:
            found["seen"] = profiled.stop()
        yield

    training.run(bench.models, bench.folder, bench.device, around)
    return found["seconds"], found["seen"]
