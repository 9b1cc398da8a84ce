"""Which scorers' parts a running process works with, and when each was last used."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from st_mta.stores.locks import LOCKS, open_lock, take

USED = ".used"


class Uses:
    """Marks scorers as in use for as long as the object lives; the marks of a process that dies go with it.

    Args:
        folder: A room of the store; a folder for locks is made in it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))
        self._held: dict[str, int] = {}
        weakref.finalize(self, _close, self._held)
        _alive.add(self)

    def mark(self, fingerprint: str) -> None:
        """Says that a scorer is in use from now on; says nothing where the store can only be read."""
        path = mark_of(self.folder, fingerprint)
        with suppress(OSError):
            if not _is_file(self._held.get(fingerprint), path):
                self.release(fingerprint)
                self._held[fingerprint] = open_lock(path)
                take(self._held[fingerprint], shared=True)
            os.utime(path)

    def release(self, fingerprint: str) -> None:
        """Says that a scorer is no longer in use here."""
        if (descriptor := self._held.pop(fingerprint, None)) is not None:
            with suppress(OSError):
                os.close(descriptor)


def mark_of(folder: Path, fingerprint: str) -> Path:
    """The file that is locked while a scorer is in use, and whose time is that of its last use."""
    return folder / LOCKS / f"{fingerprint}{USED}"


_alive: weakref.WeakSet[Uses] = weakref.WeakSet()


@contextmanager
def unused(folder: Path, fingerprint: str) -> Iterator[bool]:
    """Whether no other process works with a scorer, which stays so during the block; this one no longer does."""
    real = Path(os.path.realpath(folder))
    for uses in list(_alive):
        if uses.folder == real:
            uses.release(fingerprint)
    path = mark_of(folder, fingerprint)
    descriptor = None
    with suppress(OSError):
        descriptor = open_lock(path) if path.exists() else None
    try:
        yield descriptor is None or take(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_file(descriptor: int | None, path: Path) -> bool:
    """Whether a descriptor is that of the file which has this path now."""
    return descriptor is not None and path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())


def _close(held: dict[str, int]) -> None:
    for descriptor in held.values():
        with suppress(OSError):
            os.close(descriptor)
