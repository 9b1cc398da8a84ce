"""A distillation under torchrun with one process: the path that several processes take."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import suppress

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.toy_runs import arguments, finished_stages

LAUNCHER = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "1"]
LAST = 4000
"""Characters of what a failed command printed that are kept."""
GRACE = 5.0
"""Seconds that the launcher has to end its process."""


def run(bench: Bench) -> None:
    """Notes whether the run ends, and how long it takes."""
    device = "cpu" if bench.device.type == "cpu" else "cuda"
    command = [sys.executable, *LAUNCHER, "-m", "st_mta", *arguments(bench.folder, "launched", device), "--overwrite"]
    began = time.perf_counter()
    code, printed = _run(command, max(1.0, bench.left - GRACE - 2))
    bench.note("exit code", code)
    bench.note("seconds", round(time.perf_counter() - began, 1))
    bench.note("stages", len(finished_stages(bench.folder / "launched")))
    if code:
        raise RuntimeError(f"torchrun ended with {code}:\n{printed[-LAST:]}")


def _run(command: list[str], seconds: float) -> tuple[int, str]:
    """Exit code and what was printed; in time or not, the launcher ends what it started, in sessions of their own."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        printed, _ = process.communicate(timeout=seconds)
        return process.returncode, printed
    except subprocess.TimeoutExpired:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        process.kill()
        raise
