"""The best student of a run so far, on the development split, and whether another iteration is worth it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class BestSoFar:
    """The best student so far. It is worked out anew from the journal whenever a run resumes.

    Attributes:
        reached: Its main measure on the development split.
        folder: Where it lies.
        kept: Where it comes from: "student-before", "warm-up" or "iteration-00", ...
        done: Iterations done.
        in_vain: How many of them, counted back from the last one, did not improve on the best.
    """

    reached: float
    folder: Path
    kept: str
    done: int = 0
    in_vain: int = 0

    def take(self, dev: float, folder: Path, name: str) -> bool:
        """Keeps a student where it is better than the best so far; returns whether it is."""
        if dev > self.reached:
            self.reached, self.folder, self.kept = dev, folder, name
            return True
        return False

    def take_iteration(self, dev: float, folder: Path, name: str) -> None:
        """Counts one more iteration, and keeps its student where it is better."""
        self.in_vain = 0 if self.take(dev, folder, name) else self.in_vain + 1
        self.done += 1

    def wants_another(self, num_iterations: int, patience: int | None) -> bool:
        """Whether there is another iteration: none after ``patience`` of them in vain (None: however many)."""
        return self.done < num_iterations and (patience is None or self.in_vain < patience)

    @property
    def iteration(self) -> int:
        """The iteration it comes from; -1 where none has improved on the student they began with."""
        return int(self.kept.rpartition("-")[2]) if self.kept.startswith("iteration-") else -1
