"""The folder of a run: where everything is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from st_mta.errors import InputError

WRITTEN = (
    "student",
    "student.unfinished",
    "student-before",
    "student-before.unfinished",
    "student-embeddings",
    "warm-up",
    "iteration-[0-9][0-9]",
    "runs/*.trec",
    "plots/*.png",
    "report.json",
    "report.md",
    "report.html",
    "dev-qrels.tsv",
    "config.yaml",
    "state.json",
)
"""Everything a run writes into its folder, as patterns, in the order in which it is deleted: the journal last."""


class RunFolder:
    """Paths inside the output folder.

    Args:
        root: The output folder.

    Attributes:
        journal: Finished stages and their results.
        student: The finished student.
        student_before: The student as it came.
        judgements: The teacher's judgements of development queries that came without any.
        warm_up: The warm-up's student and checkpoints.
        runs: TREC run files of the test split.
        report: The report as JSON.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "state.json"
        self.student = root / "student"
        self.student_before = root / "student-before"
        self.judgements = root / "dev-qrels.tsv"
        self.warm_up = root / "warm-up"
        self.runs = root / "runs"
        self.report = root / "report.json"

    @property
    def begun(self) -> bool:
        """Whether the journal is that of a run, and not another program's file of the same name."""
        try:
            record = json.loads(self.journal.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(record, dict) and {"configuration", "stations"} <= record.keys()

    def written(self) -> list[Path]:
        """What is there under the names that a run writes; nothing behind links that lead out of the folder."""
        found = [path for pattern in WRITTEN for path in sorted(self.root.glob(pattern))]
        return [path for path in found if path.parent.resolve().is_relative_to(self.root.resolve())]

    def clear(self) -> None:
        """Deletes the folders and files that a run writes; does nothing in a folder where no run was begun."""
        if not self.begun:
            return
        for path in self.written():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def refuse_unusable(self, inputs: Iterable[str] = ()) -> None:
        """Checks that the folder can take a run, before anything is loaded or written.

        Args:
            inputs: How the user named collection, models and store.

        Raises:
            InputError: If it is a file, holds other things under the names that a run writes, or if an input is
                where the run would write.
        """
        if self.root.exists() and not self.root.is_dir():
            raise InputError(
                expected="an output folder",
                got=f"the file {self.root}",
                remedy="name another --output-dir",
            )
        if not self.begun and (foreign := self.written()):
            raise InputError(
                expected=f"no {foreign[0].relative_to(self.root)} in {self.root}, where no run was begun",
                got="something of that name",
                consequence="the run would replace it",
                remedy="name another --output-dir, or move it away",
            )
        for spec in inputs:
            name = spec if Path(spec).exists() else spec.partition(":")[2].removeprefix("//").partition("#")[0]
            path = Path(name).expanduser()
            if path.exists() and self._would_write(path.resolve()):
                raise InputError(
                    expected=f"inputs outside of what the run writes in {self.root}",
                    got=spec,
                    consequence="the run would replace what it learns from",
                    remedy="name another --output-dir, or copy the input elsewhere",
                )

    def _would_write(self, path: Path) -> bool:
        root = self.root.resolve()
        inside = path.relative_to(root) if path.is_relative_to(root) else Path()
        return any(part.match(pattern) for part in (inside, *inside.parents) for pattern in WRITTEN)

    def iteration(self, index: int) -> Path:
        """Folder of one iteration."""
        return self.root / f"iteration-{index:02d}"
