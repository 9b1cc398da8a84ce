"""Where a run stands: the best student so far on the development split, and whether going on is worth it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass
class Standing:
    """The best student so far. It is worked out anew from the journal whenever a run goes on.

    Attributes:
        reached: Its main measure on the development split.
        best: Its folder.
        iteration: The iteration it comes from; -1 where none has improved on the student they began with.
        done: Iterations done.
        in_vain: How many of them, counted back from the last one, did not improve on the best.
    """

    reached: float
    best: Path
    iteration: int = -1
    done: int = 0
    in_vain: int = 0

    def take(self, dev: float, student: Path) -> None:
        """Counts one more iteration, and keeps its student where it is better."""
        if dev > self.reached:
            self.reached, self.best, self.iteration, self.in_vain = dev, student, self.done, 0
        else:
            self.in_vain += 1
        self.done += 1

    def goes_on(self, num_iterations: int, patience: int | None) -> bool:
        """Whether there is one more iteration: not after ``patience`` of them in vain (None: however many)."""
        return self.done < num_iterations and (patience is None or self.in_vain < patience)
