"""What a stage is given: where to write, on which device, how much time, and what to work on."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.material import Models, prepared
from benchmarks.gpu.record import Record
from benchmarks.gpu.source import source_digest


class Bench:
    """A stage's means.

    Args:
        record: Where findings are written.
        work: Folder for models, stores and runs, shared by all stages.
        dry: Whether sizes are toys and the device is the CPU.
        seconds: Until the stage is ended.

    Attributes:
        device: The first GPU, or the CPU.
        precisions: Number formats to measure.
        folder: For what the stage alone writes; another one for another source.
    """

    def __init__(self, record: Record, work: Path, dry: bool, seconds: float) -> None:
        self.record, self.dry, self._ends = record, dry, time.monotonic() + seconds
        self.work, self.precisions = work, ("fp32", "bf16")
        self.folder = work / "scratch" / source_digest() / str(record.content["stage"])
        self.folder.mkdir(parents=True, exist_ok=True)
        on_gpu = torch.cuda.is_available() and not dry
        self.device = torch.device("cuda", 0) if on_gpu else torch.device("cpu")

    @property
    def left(self) -> float:
        """Seconds until the stage is ended."""
        return self._ends - time.monotonic()

    @cached_property
    def models(self) -> Models:
        """Models, collection and lists, made by the first stage that asks."""
        return prepared(self.work / "material", self.dry, self.device)

    def sized(self, real: int, toy: int) -> int:
        """A size: the real one, or a toy's."""
        return toy if self.dry else real

    def part(self, name: str) -> AbstractContextManager[None]:
        """Within it, an exception ends the part alone."""
        return self.record.part(name)

    def note(self, name: str, value: Any) -> None:
        """Writes one finding."""
        self.record.note(name, value)

    def row(self, table: str, **cells: Any) -> None:
        """Writes one more row of a table."""
        self.record.row(table, **cells)

    def seconds(self, work: Callable[[], Any], repeats: int = 1) -> float:
        """The median time of some work, with all that it sent to the device."""
        return statistics.median(self._once(work) for _ in range(1 if self.dry else repeats))

    def _once(self, work: Callable[[], Any]) -> float:
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        """Until the device has done all it was sent."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
