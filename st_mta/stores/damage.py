"""What happens to a stored file that cannot be read: it is renamed and logged, never silently used or deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

DAMAGED, GONE = ".damaged", "gone"

_said: set[Path] = set()


def rename_damaged(files: Sequence[Path], reason: str, consequence: str) -> None:
    """Renames the files of one part to ``*.damaged`` and logs one warning; none if another process did so first.

    On a disk that can only be read they keep their names; whoever calls this uses them no longer.
    """
    failures = [_rename(file) for file in files]
    if "" in failures:
        name = files[failures.index("")]
        logger.warning("Renamed the damaged file %s to *.damaged (%s): %s.", name, reason, consequence)
    elif refused := [failure for failure in failures if failure != GONE]:
        if files[0] in _said:
            return
        _said.add(files[0])
        logger.warning("%s is damaged (%s) and cannot be renamed (%s): %s.", files[0], reason, refused[0], consequence)


def _rename(file: Path) -> str:
    """Why a file could not be renamed, "" if it was."""
    try:
        file.rename(file.with_name(file.name + DAMAGED))
    except FileNotFoundError:
        return GONE
    except OSError as error:
        return error.strerror or str(error)
    return ""
