"""What happens to a stored file that cannot be read: it is renamed and logged, never silently used or deleted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

logger = logging.getLogger(__name__)


def rename_damaged(files: Sequence[Path], reason: str, consequence: str) -> None:
    """Renames files to ``*.damaged`` and logs a warning; skips those that another process renamed first."""
    for file in files:
        try:
            file.rename(file.with_name(file.name + ".damaged"))
        except FileNotFoundError:
            continue
        logger.warning("Renamed the damaged file %s to *.damaged (%s): %s.", file, reason, consequence)
