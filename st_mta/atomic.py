"""Files and folders appear whole or not at all: a killed process leaves nothing half-written under a final name."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from st_mta.errors import InputError
from st_mta.os_errors import is_full_disk

TEMPORARY_SUFFIX = ".tmp"
TEMPORARY = re.compile(rf"\..*-[0-9a-f]{{32}}{re.escape(TEMPORARY_SUFFIX)}")
"""Names of files and folders that are not whole yet; a killed process leaves them behind."""
LONGEST_STEM = 40
"""Characters of the final name in a temporary one, which so is never too long where the final one is not."""

Watcher = Callable[[Path, Path], None]
_watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Within it the watcher is told of every file: its final path, and where it lies before it gets that name."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path in the same folder that takes the final name when the block ends without an exception.

    Args:
        path: The final path; its folder is made if missing, an older file there is replaced.

    Yields:
        The path to write to.

    Raises:
        InputError: If the disk is full.
    """
    temporary = _temporary(path)
    with full_disk_explained(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Made the usual way, since tempfile's files can be read by their owner only, and a store may be shared.
            temporary.touch(exist_ok=False)
            yield temporary
            _ready(path, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def atomic_folder(folder: Path, last: str = "modules.json") -> Iterator[Path]:
    """A temporary folder that takes the final name when the block ends without an exception.

    Where the final one exists, its files are replaced one by one and others in it stay.

    Args:
        folder: The final folder.
        last: The file without which the folder counts as not written; it goes first and comes last.

    Yields:
        The folder to write to.

    Raises:
        InputError: If the disk is full.
    """
    temporary = _temporary(folder)
    with full_disk_explained(folder):
        try:
            temporary.mkdir(parents=True)
            yield temporary
            written = [path.relative_to(temporary) for path in sorted(temporary.rglob("*")) if path.is_file()]
            for path in written:
                _ready(folder / path, temporary / path)
            if folder.exists():
                _replace_files(temporary, folder, sorted(written, key=lambda path: path == Path(last)))
            else:
                temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def full_disk_explained(path: Path) -> Iterator[None]:
    """Turns every way in which a full disk is reported inside into one ``InputError``; other errors pass."""
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        raise InputError(
            expected=f"room for another file in {path.parent}",
            got=f"a full disk while writing {path.name}",
            consequence="a half-written file would stand under a final name",
            remedy="everything written before this file is whole and will be reused; free some space "
            "(st-mta cache lists and clears stored scores and embeddings), then run the same command again",
        ) from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name[:LONGEST_STEM]}-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")


def _ready(path: Path, temporary: Path) -> None:
    # Without it the name may reach the disk before the bytes do, and a power cut leaves an empty file.
    with open(temporary, "rb+") as file:
        os.fsync(file.fileno())
    for watcher in _watchers:
        watcher(path, temporary)


def _replace_files(temporary: Path, folder: Path, paths: list[Path]) -> None:
    if paths:
        (folder / paths[-1]).unlink(missing_ok=True)
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary / path, folder / path)
