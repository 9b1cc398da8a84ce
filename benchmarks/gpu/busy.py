"""How much of some time the GPU computes, and how often the processor waits for it, by torch's profiler."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

WAITS = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
COPIES = ("Memcpy", "Memset")


@dataclass(frozen=True)
class Busy:
    """What the profiler saw.

    Attributes:
        seconds: On the clock, the profiler's own among them.
        computing: Seconds in which a kernel ran; None without a GPU.
        kernels: How many ran.
        waits: Calls that waited for the GPU.
        copies: Between host and device, and fillings.
    """

    seconds: float
    computing: float | None
    kernels: int
    waits: int
    copies: int

    @property
    def share(self) -> float | None:
        """Of the time in which the GPU computes."""
        return None if self.computing is None else round(self.computing / self.seconds, 3)


class Profiled:
    """A profiler that is started and stopped, and says what it saw.

    Args:
        device: Where the work runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        gpu = device.type == "cuda"
        self._profile = profile(activities=[ProfilerActivity.CUDA if gpu else ProfilerActivity.CPU])

    def start(self) -> None:
        """Begins, when the device has done what it was sent before."""
        self._wait()
        self._profile.start()
        self._began = time.perf_counter()

    def stop(self) -> Busy:
        """Ends, when the device is done."""
        self._wait()
        seconds = time.perf_counter() - self._began
        self._profile.stop()
        events = self._profile.events() or []  # type: ignore[no-untyped-call]
        return busy(events, seconds, on_gpu=self.device.type == "cuda")

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def busy(events: Iterable[Any], seconds: float, on_gpu: bool) -> Busy:
    """What the events of a profiler say."""
    events = list(events)
    on_device = [event for event in events if event.device_type.name == "CUDA"]
    copies = [event for event in on_device if event.name.startswith(COPIES)]
    kernels = [event for event in on_device if not event.name.startswith(COPIES)]
    spans = [(event.time_range.start, event.time_range.end) for event in kernels]
    waits = sum(event.name in WAITS for event in events)
    return Busy(seconds, covered(spans) / 1e6 if on_gpu else None, len(kernels), waits, len(copies))


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """The length of the union of spans."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
