"""What happens to a stored file that cannot be read: it is renamed and logged, never silently used or deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)

DAMAGED = ".damaged"


def rename_damaged(files: Sequence[Path], reason: str, consequence: str) -> None:
    """Renames the files of one part to ``*.damaged`` and logs one warning; none if another process did so first.

    On a disk that can only be read they keep their names; whoever calls this uses them no longer.
    """
    renamed = [file for file in files if _rename(file)]
    if renamed:
        logger.warning("Renamed the damaged file %s to *.damaged (%s): %s.", renamed[0], reason, consequence)


def _rename(file: Path) -> bool:
    try:
        file.rename(file.with_name(file.name + DAMAGED))
    except FileNotFoundError:
        return False
    except OSError as error:
        logger.warning("The damaged file %s cannot be renamed (%s).", file, error.strerror)
        return True
    return True
