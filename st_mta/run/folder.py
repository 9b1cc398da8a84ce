"""The folder of a run: where everything is."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from st_mta.atomic import TEMPORARY
from st_mta.errors import InputError
from st_mta.names import file_name
from st_mta.run.manifest import Manifest
from st_mta.stores import Store

FOLDERS = ("student", "student-before", "student-embeddings", "warm-up", "iteration-[0-9]*", "exits", "runs", "plots")
WRITTEN = (
    *FOLDERS[:6],
    "runs/*.trec",
    "plots/*.png",
    "report.json",
    "report.md",
    "report.html",
    "dev-qrels.tsv",
    "config.yaml",
    "regression-map.safetensors",
    "windows.parquet",
    "state.json",
    "state.json.bak",
    "manifest.jsonl",
)
"""Everything a run writes into its folder, as patterns."""
STUDENTS = ("student", "student-before", "warm-up/student", "iteration-[0-9][0-9]/student")
OF_A_STUDENT = (
    "README.md", "modules.json", "config*.json", "sentence_bert_config.json", "*.safetensors",
    "*.safetensors.index.json", "tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json",
    "spiece.model", "sentencepiece.bpe.model", "chat_template*", "[0-9]*_*/config.json", "[0-9]*_*/*.safetensors",
)  # fmt: skip
OF_AN_ITERATION = "candidates.parquet lists.parquet queries.npz scores.npy dev.trec log_history.json".split()
WITHOUT_MANIFEST = (
    *(f"{student}/{name}" for student in STUDENTS for name in OF_A_STUDENT),
    *(f"{student}.unfinished/**/*" for student in STUDENTS),
    *(f"iteration-[0-9][0-9]/{name}" for name in OF_AN_ITERATION),
    "warm-up/log_history.json",
    "student-embeddings/**/*",
    *(name for name in WRITTEN if "." in name),
)
"""The files of versions that kept no manifest."""
CHECKPOINTS = ("warm-up/checkpoints", "iteration-[0-9]*/checkpoints", "iteration-[0-9]*/teaching/checkpoints")


class RunFolder:
    """Paths inside the output folder.

    Args:
        root: The output folder.

    Attributes:
        journal: Finished stages and their results.
        manifest: Every file that the run wrote.
        student: The finished student.
        student_before: The student as it came.
        student_embeddings: The store of what is computed of the run's students.
        exits: The student's first layers as students of their own, where it was trained with exits.
        judgements: The teacher's judgements of development queries that came without any.
        regression_map: The map from the space of the bi-encoders that the student is regressed to, to the student's.
        windows: Which window is of which document, where documents are cut.
        warm_up: The warm-up's student and checkpoints.
        runs: TREC run files of the test split.
        report: The report as JSON.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "state.json"
        self.manifest = Manifest(root)
        self.student = root / "student"
        self.student_before = root / "student-before"
        self.student_embeddings = root / "student-embeddings"
        self.exits = root / "exits"
        self.judgements = root / "dev-qrels.tsv"
        self.regression_map = root / "regression-map.safetensors"
        self.windows = root / "windows.parquet"
        self.warm_up = root / "warm-up"
        self.runs = root / "runs"
        self.report = root / "report.json"

    @property
    def begun(self) -> bool:
        """Whether a run was begun here: there is a journal that is not another program's file of the same name."""
        copies = (self.journal, self.root / "state.json.bak")
        return any(map(_is_journal, copies)) or (self.manifest.exists() and any(path.exists() for path in copies))

    @property
    def known(self) -> bool:
        """Whether a run was begun here, or deleted, or killed while it was being deleted."""
        return self.begun or self.manifest.clearing or (self.manifest.exists() and not self.manifest.written())

    def prepare(self) -> None:
        """Removes what a killed run left half-written or half-deleted, and begins the manifest."""
        if self.manifest.clearing:
            self.clear()
        self.manifest.begin(list(self._found(WITHOUT_MANIFEST)) if self.begun else [])
        self._remove_leftovers()

    def clear(self) -> list[Path]:
        """Deletes the files that a run wrote; does nothing in a folder where no run was begun.

        Returns:
            What others put into the run's folders, which stays.
        """
        if not self.known:
            return []
        self.manifest.begin(list(self._found(WITHOUT_MANIFEST)))
        self.manifest.begin_clearing()
        # The journal first, so that what is left by a kill is no run.
        for path in (self.root / "state.json.bak", self.journal, *self.manifest.written()):
            if not path.is_dir() or path.is_symlink():
                path.unlink(missing_ok=True)
        self.remove_checkpoints()
        self._remove_leftovers()
        for store in self._found(["student-embeddings"]):
            if store.is_dir() and not store.is_symlink():
                Store(store).clear()
        for folder in self._inner_folders():
            with suppress(OSError):  # it holds something of others
                folder.rmdir()
        self.manifest.forget()
        return [path for path in self._found(f"{name}/**/*" for name in FOLDERS) if not path.is_dir()]

    def remove_checkpoints(self, stage: str = "") -> None:
        """Removes the checkpoints of a finished training, or of all; other files beside them stay."""
        place = stage.partition("/")[0]
        patterns = [f"{place}/checkpoints", f"{place}/teaching/checkpoints"] if stage else CHECKPOINTS
        for folder in self._found(patterns):
            remove_checkpoints(folder)

    def refuse_unusable(self, inputs: Iterable[str] | None = None, *, overwrite: bool = False) -> None:
        """Checks that the folder can take a run, before anything is loaded or written.

        Args:
            inputs: How the user named collection, models and store; None where they are not files.
            overwrite: Whether a run that was begun there is to be deleted.

        Raises:
            InputError: If it is a file, holds other things under the names that a run writes, if an input is
                where the run would write, or if a new run would be begun around inputs, the home or working folder.
        """
        if self.root.exists() and not self.root.is_dir():
            raise InputError(
                expected="an output folder",
                got=f"the file {self.root}",
                remedy="name another --output-dir",
            )
        if not self.known and (foreign := next(self._found(WRITTEN), None)) is not None:
            raise InputError(
                expected=f"no {foreign.relative_to(self.root)} in {self.root}, where no run was begun",
                got="something of that name",
                consequence="the run would replace it",
                remedy="name another --output-dir, or move it away",
            )
        for spec in inputs or ():
            self._refuse_input(spec, around=overwrite or not self.begun)
        if inputs is not None and (overwrite or not self.begun):
            self._refuse_around("the working folder", Path.cwd())
            self._refuse_around("your home folder", Path.home())

    def refuse_long_names(self, names: Iterable[str]) -> None:
        """Raises ``InputError`` where the file system takes no file of a scorer's name."""
        existing = next(path for path in (self.root, *self.root.absolute().parents) if path.exists())
        try:
            longest = os.pathconf(existing, "PC_NAME_MAX")
        except (AttributeError, OSError, ValueError):
            return
        for name in names:
            needed = len(os.fsencode(f"{file_name(name)}.trec"))
            if needed > longest:
                raise InputError(
                    expected=f"names of at most {longest} bytes, as the file system of {self.root} takes them",
                    got=f"{name!r}, whose run file has a name of {needed}",
                    remedy="give the scorer a shorter name, or name another --output-dir",
                )

    def _refuse_input(self, spec: str, around: bool) -> None:
        name = spec if Path(spec).exists() else spec.partition(":")[2].removeprefix("//").partition("#")[0]
        path = Path(name).expanduser()
        if not name or not path.exists():
            return
        if self._would_write(path.resolve()):
            raise InputError(
                expected=f"inputs outside of what the run writes in {self.root}",
                got=spec,
                consequence="the run would replace what it learns from",
                remedy="name another --output-dir, or copy the input elsewhere",
            )
        if around:
            self._refuse_around(spec, path)

    def _refuse_around(self, what: str, path: Path) -> None:
        if path.resolve().is_relative_to(self.root.resolve()):
            raise InputError(
                expected="an output folder of the run's own",
                got=f"{self.root}, which holds {what}" if path.resolve() != self.root.resolve() else f"{what} itself",
                consequence="the run's files would stand among others, and --overwrite would delete there",
                remedy=f"name a folder for this run alone, for example --output-dir {self.root / 'out'}",
            )

    def _would_write(self, path: Path) -> bool:
        root = self.root.resolve()
        inside = path.relative_to(root) if path.is_relative_to(root) else Path()
        return any(part.match(pattern) for part in (inside, *inside.parents) for pattern in WRITTEN)

    def _found(self, patterns: Iterable[str]) -> Iterator[Path]:
        """What is there under these names; nothing behind links that lead out of the folder."""
        inside = self.root.resolve()
        for pattern in patterns:
            for path in sorted(self.root.glob(pattern)):
                if path.parent.resolve().is_relative_to(inside):
                    yield path

    def _inner_folders(self) -> list[Path]:
        """The run's own folders and those in them, the innermost first."""
        top = [*FOLDERS, *(f"{student}.unfinished" for student in STUDENTS)]
        found = self._found([*top, *(f"{name}/**/*" for name in top)])
        return sorted({path for path in found if path.is_dir() and not path.is_symlink()}, reverse=True)

    def _remove_leftovers(self) -> None:
        """Files and folders that a killed process was writing."""
        for folder in (self.root, *self._inner_folders()):
            for path in folder.glob(".*.tmp"):
                if TEMPORARY.fullmatch(path.name):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def iteration(self, index: int) -> Path:
        """Folder of one iteration."""
        return self.root / f"iteration-{index:02d}"


def remove_checkpoints(folder: Path) -> None:
    """Removes the host's checkpoints from a folder, and the folder where nothing else is in it."""
    for checkpoint in folder.glob("checkpoint-[0-9]*"):
        shutil.rmtree(checkpoint, ignore_errors=True)
    with suppress(OSError):
        folder.rmdir()


def _is_journal(path: Path) -> bool:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"configuration", "stations"} <= record.keys()
