"""Versions, and the products and copies that the device reaches at best."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import torch

from benchmarks.environment import environment
from benchmarks.gpu.bench import Bench

PRODUCTS = {"fp32": (torch.float32, False), "tf32": (torch.float32, True), "bf16": (torch.bfloat16, False)}
"""Number format of the matrices, and whether they are rounded on the way."""


def run(bench: Bench) -> None:
    """Notes where this runs and how fast it is."""
    for name, value in environment().items():
        bench.note(name, value)
    bench.note("cuda", torch.version.cuda)
    bench.note("driver", _driver())
    bench.note("torch", torch.__version__)
    if bench.device.type == "cuda":
        properties = torch.cuda.get_device_properties(bench.device)
        bench.note("memory in GiB", round(properties.total_memory / 2**30, 1))
        bench.note("multiprocessors", properties.multi_processor_count)
    for name in PRODUCTS:
        with bench.part(name):
            bench.row("peaks", what=f"product in {name}", value=round(product(bench, name), 1), unit="TFLOP/s")
    with bench.part("copy"):
        bench.row("peaks", what="copy, read and write", value=round(copy(bench), 1), unit="GB/s")
    with bench.part("transfer"):
        for pinned in (False, True):
            what = f"from the host, {'pinned' if pinned else 'pageable'}"
            bench.row("peaks", what=what, value=round(transfer(bench, pinned), 1), unit="GB/s")


def product(bench: Bench, name: str) -> float:
    """TFLOP/s of square matrices."""
    size, times = bench.sized(8192, 64), bench.sized(10, 2)
    dtype, rounded = PRODUCTS[name]
    left, right = (torch.randn(size, size, device=bench.device, dtype=dtype) for _ in range(2))
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = rounded
    try:
        return 2 * size**3 * times / _after_warm_up(bench, lambda: left @ right, times) / 1e12
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def copy(bench: Bench) -> float:
    """GB/s within the device's memory, bytes read and written."""
    source = torch.zeros(bench.sized(2**28, 2**10), device=bench.device)
    target, times = torch.empty_like(source), bench.sized(20, 2)
    return 8 * source.numel() * times / _after_warm_up(bench, lambda: target.copy_(source), times) / 1e9


def transfer(bench: Bench, pinned: bool) -> float:
    """GB/s from the host's memory."""
    source = torch.zeros(bench.sized(2**26, 2**10), pin_memory=pinned and bench.device.type == "cuda")
    target, times = torch.empty_like(source, device=bench.device), bench.sized(10, 2)
    return (
        4
        * source.numel()
        * times
        / _after_warm_up(bench, lambda: target.copy_(source, non_blocking=pinned), times)
        / 1e9
    )


def _after_warm_up(bench: Bench, work: Callable[[], object], times: int) -> float:
    work()
    return bench.seconds(lambda: [work() for _ in range(times)] and None)


def _driver() -> str | None:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except OSError:
        return None
    return done.stdout.strip() or None
