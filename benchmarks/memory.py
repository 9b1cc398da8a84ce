"""Memory that a process holds, now or at most so far."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import torch

PROCESS = Path("/proc/self")


def memory_now() -> int:
    """Bytes in use: resident memory, which holds the libraries too; on a GPU what torch has allocated there."""
    return torch.cuda.memory_allocated() if torch.cuda.is_available() else _resident("VmRSS")


def memory_peak() -> int:
    """The most bytes in use since the process began, or since [`forget_peak`]."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else max(_resident("VmHWM"), memory_now())


def forget_peak() -> None:
    """Lets the peak begin anew from what is in use; where the system has no way to, it stays."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5")


def _resident(field: str) -> int:
    # Not ru_maxrss: a new process inherits that of the one that started it.
    lines = (PROCESS / "status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
