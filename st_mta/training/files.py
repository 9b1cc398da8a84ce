"""The folder of a run: where everything lies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths inside the output folder.

    Args:
        root: The output folder.
    """

    root: Path

    @property
    def journal(self) -> Path:
        """Finished stations and their results."""
        return self.root / "state.json"

    @property
    def student(self) -> Path:
        """The finished student."""
        return self.root / "student"

    @property
    def student_before(self) -> Path:
        """The student as it came."""
        return self.root / "student-before"

    @property
    def judgements(self) -> Path:
        """The teacher's judgements of development queries that came without any."""
        return self.root / "dev-qrels.tsv"

    @property
    def warm_up(self) -> Path:
        """The warm-up's student and checkpoints."""
        return self.root / "warm-up"

    @property
    def runs(self) -> Path:
        """TREC run files of the test split."""
        return self.root / "runs"

    @property
    def report(self) -> Path:
        """The report as JSON."""
        return self.root / "report.json"

    def iteration(self, index: int) -> Path:
        """Folder of one iteration."""
        return self.root / f"iteration-{index:02d}"


def file_name(name: str) -> str:
    """A scorer's name as a file name."""
    return name.replace("/", "--").replace(":", "--")
