"""A drill, what came of it, and all drills in order of their categories."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.material import Material


class Skipped(Exception):
    """A drill that this machine does not allow; its text says why."""


@dataclass(frozen=True)
class Drill:
    """One fault.

    Attributes:
        category: A name of ``BEFORE``.
        name: Unique within it.
        work: Causes the fault in a folder of its own; returns what went wrong, or nothing if the fault was survived.
        alone: Whether it must not run beside another one.
        inside: Whether it calls functions instead of commands; many of them share a process.
    """

    category: str
    name: str
    work: Callable[[Material, Path], str]
    alone: bool = False
    inside: bool = False


BEFORE: dict[str, dict[str, int]] = {
    "kills": {"tried": 25, "survived": 25},
    "termination": {"tried": 4, "survived": 0},
    "full disk": {"tried": 9, "survived": 4},
    "read-only and the like": {"tried": 16, "survived": 6},
    "damaged scores": {"tried": 553, "survived": 506},
    "damaged embeddings": {"tried": 690, "survived": 491},
    "damaged run files": {"tried": 31, "survived": 7},
    "one folder shared": {"tried": 17, "survived": 3},
    "bad arguments": {"tried": 147, "survived": 119},
    "bad data": {"tried": 57, "survived": 50},
    "types and shapes": {"tried": 77, "survived": 49},
    "hostile push": {"tried": 18, "survived": 16},
}
"""The same categories on commit a0ca463, with other instances; on a full disk the data was safe in all nine cases."""


def all_drills(seed: int) -> Iterator[Drill]:
    """Every drill, the same for the same seed."""
    from benchmarks.faults import arguments, bad_data, kills, places, push, run_files, shared, stores, types

    for module in (kills, places, run_files, shared, arguments, bad_data, types, push, stores):
        yield from module.drills(seed)
