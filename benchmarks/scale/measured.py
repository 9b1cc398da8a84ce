"""Seconds, disk and peak memory of stages, written down as each ends."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.memory import forget_peak, memory_now, memory_peak
from st_mta.atomic import atomic_write_text

Result = TypeVar("Result")


class Measured:
    """Measurements by stage, kept in a file: what a killed rehearsal measured stays.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stages: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        self.begin()

    def begin(self) -> None:
        """Counts from here."""
        forget_peak()
        self._now, self._cpu, self._disk = time.perf_counter(), time.process_time(), _disk()

    def take(self, name: str, kind: str | None = None) -> None:
        """Writes down what was taken since [`begin`], unless the stage was measured before."""
        read, written = (now - then for now, then in zip(_disk(), self._disk))
        found = {
            "seconds": round(time.perf_counter() - self._now, 1),
            "processor_seconds": round(time.process_time() - self._cpu, 1),
            "read_mb": round(read / 1e6, 1),
            "written_mb": round(written / 1e6, 1),
            "peak_mb": round(memory_peak() / 1e6),
            "left_mb": round(memory_now() / 1e6),
        }
        if name not in self.stages:
            self.stages[name] = {"kind": kind or name, **found}
            atomic_write_text(self.path, json.dumps(self.stages, indent=2) + "\n")
        print(f"{name}: {found}", flush=True)
        self.begin()

    def stage(self, name: str, work: Callable[[], Result], kind: str | None = None) -> Result:
        """Works and measures; a stage that was measured before is worked again, from what is on disk."""
        self.begin()
        result = work()
        self.take(name, kind)
        return result


def _disk() -> tuple[int, int]:
    """Bytes that this process has read from and written to disk; zeros where the system does not say."""
    with suppress(OSError, ValueError):
        lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
        return int(lines["read_bytes"]), int(lines["write_bytes"])
    return 0, 0
