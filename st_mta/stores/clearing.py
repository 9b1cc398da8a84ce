"""Deletes files of a store, and says what it could not delete."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from st_mta.stores.layout import StoredFile, empty_folders, files_of, locks_of, spilled
from st_mta.stores.uses import unused


@dataclass(frozen=True)
class Deleted:
    """What became of files that were to be deleted.

    Attributes:
        freed: Bytes of those that are gone.
        refused: Bytes of those that are still there.
        reason: What the operating system said of the first of them.
    """

    freed: int = 0
    refused: int = 0
    reason: str = ""

    def __add__(self, other: Deleted) -> Deleted:
        return Deleted(self.freed + other.freed, self.refused + other.refused, self.reason or other.reason)


def delete_scorer(folder: Path, fingerprint: str, *, dry_run: bool = False) -> Deleted:
    """Deletes what one scorer stored in a store, also while others use it: they compute it again.

    Args:
        folder: The store.
        fingerprint: The scorer.
        dry_run: Whether to say only what would be freed, as in the other functions here.
    """
    with unused(folder / "scorers", fingerprint) as free:
        files = [file for file in files_of(folder, fingerprint) if free or _is_finished(file)]
        deleted = _delete(files, dry_run)
        if free and not dry_run:
            _delete_locks(locks_of(folder, fingerprint))
    if not dry_run:
        _remove_empty(folder, [fingerprint])
    return deleted


def delete_spilled(folder: Path, *, dry_run: bool = False) -> Deleted:
    """Deletes what joins that were killed left on disk."""
    deleted = _delete([file for file in spilled(folder) if _is_finished(file)], dry_run)
    if not dry_run:
        _remove_empty(folder, [])
    return deleted


def delete_leftovers(folder: Path, fingerprint: str, *, dry_run: bool = False) -> Deleted:
    """Deletes damaged files of a scorer and those that killed processes left."""
    with unused(folder / "scorers", fingerprint) as free:
        files = [file for file in files_of(folder, fingerprint) if file.leftover]
        return _delete([file for file in files if file.is_old or (free and not file.unfinished)], dry_run)


def _is_finished(file: StoredFile) -> bool:
    return not file.unfinished or file.is_old


def _delete(files: Sequence[StoredFile], dry_run: bool) -> Deleted:
    if dry_run:
        return Deleted(freed=sum(file.size for file in files))
    deleted = Deleted()
    for file in files:
        try:
            file.path.unlink(missing_ok=True)
            deleted += Deleted(freed=file.size)
        except OSError as error:
            deleted += Deleted(refused=file.size, reason=f"{file.path}: {error.strerror or error}")
    return deleted


def _delete_locks(paths: Sequence[Path]) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink()


def _remove_empty(folder: Path, fingerprints: list[str]) -> None:
    for empty in empty_folders(folder, fingerprints):
        with suppress(OSError):
            empty.rmdir()
