"""Which files of a folder are the store's own, so that listing counts and clearing deletes no others."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from st_mta.atomic import TEMPORARY_SUFFIX
from st_mta.stores.blocks import KEYS, ROWS
from st_mta.stores.damage import DAMAGED
from st_mta.stores.locks import LOCKS
from st_mta.stores.spill import SPILL, may_be_running
from st_mta.stores.uses import USED, mark_of

DESCRIPTION = "scorer.json"
ROOMS = ("searches", "scores", "embeddings", "tensors", "queries", "scorers")
"""Searches go first: what is left of a deletion that was killed are then no results of embeddings that are gone."""
DAY = 24 * 60 * 60.0

PART = re.compile(r"part-[^/]*\.(parquet|npy|safetensors)")
DAMAGED_PART = re.compile(rf"part-[^/]*{re.escape(DAMAGED)}")
TEMPORARY = re.compile(rf"\.(part-[^/]*|{re.escape(DESCRIPTION)})-[0-9a-f]+{re.escape(TEMPORARY_SUFFIX)}")
LOCK = r"(-query|-document|-[0-9a-f]{32})?(-[0-9a-f]{32})?\.(claims|claim|merge|used)"


@dataclass(frozen=True)
class StoredFile:
    """A file of the store.

    Attributes:
        path: Where it lies.
        size: In bytes.
        changed: When it was last written, in seconds since 1970.
        leftover: Whether no look-up will read it: damaged, or left by a process that was killed.
        unfinished: Whether a process that lives may still be writing it.
    """

    path: Path
    size: int
    changed: float
    leftover: bool = False
    unfinished: bool = False

    @property
    def is_old(self) -> bool:
        """Whether nobody can still be writing it."""
        return time.time() - self.changed > DAY


def fingerprints(folder: Path) -> list[str]:
    """The scorers that have a folder, or were looked up."""
    names = {entry.name for room in ROOMS for entry in _entries(folder / room) if entry.is_dir()}
    marks = {path.name.removesuffix(USED) for path in (folder / "scorers" / LOCKS).glob(f"*{USED}")}
    return sorted(marks | {name for name in names if name != LOCKS and not name.startswith(SPILL)})


def last_use_of(folder: Path, fingerprint: str) -> float:
    """When a scorer was last looked up, 0 if nobody noted it."""
    try:
        return mark_of(folder / "scorers", fingerprint).stat().st_mtime
    except OSError:
        return 0.0


def files_of(folder: Path, fingerprint: str) -> list[StoredFile]:
    """The store's own files of one scorer."""
    return [file for room in ROOMS for file in _own_files(folder / room / fingerprint)]


def spilled(folder: Path) -> list[StoredFile]:
    """What joins put on disk, also of those that are still running."""
    found: list[StoredFile] = []
    for entry in _entries(folder / "scores"):
        if entry.name.startswith(SPILL) and entry.is_dir():
            running = may_be_running(Path(entry.path))
            found += [_file(inner, leftover=True, unfinished=running) for inner in _walk(Path(entry.path))]
    return found


def locks_of(folder: Path, fingerprint: str) -> list[Path]:
    """The lock files of a scorer."""
    own = re.compile(re.escape(fingerprint) + LOCK)
    found = [Path(entry.path) for room in ROOMS for entry in _entries(folder / room / LOCKS)]
    return [path for path in found if own.fullmatch(path.name)]


def empty_folders(folder: Path, names: list[str]) -> Iterator[Path]:
    """Folders in which such scorers' files, spilled data or locks lay, the innermost first."""
    for room in ROOMS:
        spills = [entry.name for entry in _entries(folder / room) if entry.name.startswith(SPILL)]
        for name in [*names, *spills, LOCKS]:
            for root, _, _ in os.walk(folder / room / name, topdown=False):
                yield Path(root)


def _own_files(folder: Path) -> Iterator[StoredFile]:
    paths = list(_walk(folder))
    present = {path.name for path in paths}
    for path in paths:
        name = path.name
        if TEMPORARY.fullmatch(name):
            yield _file(path, leftover=True, unfinished=True)
        elif DAMAGED_PART.fullmatch(name):
            yield _file(path, leftover=True)
        elif _lacks_its_other_file(name, present):
            yield _file(path, leftover=True, unfinished=True)
        elif PART.fullmatch(name) or name == DESCRIPTION:
            yield _file(path)


def _lacks_its_other_file(name: str, present: set[str]) -> bool:
    """Whether a file of a block of embeddings stands alone; what is being written does for a moment."""
    if not PART.fullmatch(name) or not name.endswith(ROWS):
        return False
    other = name.removesuffix(KEYS) + ROWS if name.endswith(KEYS) else name.removesuffix(ROWS) + KEYS
    return other not in present


def _file(path: Path, leftover: bool = False, unfinished: bool = False) -> StoredFile:
    try:
        status = path.lstat()
    except OSError:  # gone since
        return StoredFile(path, 0, 0.0, leftover, unfinished)
    size = status.st_size if stat.S_ISREG(status.st_mode) else _target_size(path)
    return StoredFile(path, size, status.st_mtime, leftover, unfinished)


def _target_size(path: Path) -> int:
    """A link, as downloaded data sets have them, counts as what it leads to."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder):
        yield from (Path(root, name) for name in names)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
