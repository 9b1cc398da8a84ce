"""Whether every process of a run sees its output folder, and the same texts."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.run.lock import make_folder


def refuse_unseen(folder: Path) -> None:
    """Raises ``InputError`` on every process where some of them do not see what rank 0 writes into a folder."""
    if processes().size == 1:
        return
    made = processes().on_leader(lambda: _mark(folder))
    unseen = processes().any(not made[0].exists())
    if processes().leads:
        _remove(made)
    if unseen:
        raise InputError(
            expected=f"an output folder that all {processes().size} processes see",
            got=f"{folder}, in which some of them do not find what the first one has written",
            consequence="they could not read the lists to train on",
            remedy="name a folder on a file system that all machines share",
        )


def refuse_other_texts(fingerprint: str) -> None:
    """Raises ``InputError`` on every process where some of them have made another collection of the same inputs.

    Args:
        fingerprint: Of this process's collection.
    """
    if processes().any(processes().share(fingerprint) != fingerprint):
        raise InputError(
            expected=f"the same collection on all {processes().size} processes",
            got="another one on some of them, as machines with a store each generate queries of their own",
            consequence="they would train on different texts",
            remedy="name a store that all machines share (--store)",
        )


def _mark(folder: Path) -> list[Path]:
    """Writes an empty file; returns it, and the folders that were missing, the innermost first."""
    missing = make_folder(folder)
    mark = folder / f".seen-{uuid.uuid4().hex}"
    mark.touch()
    return [mark, *missing]


def _remove(made: list[Path]) -> None:
    mark, *folders = made
    mark.unlink(missing_ok=True)
    for path in folders:
        with suppress(OSError):
            path.rmdir()
