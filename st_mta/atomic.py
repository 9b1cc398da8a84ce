"""Files appear whole or not at all, so that a killed process leaves nothing half-written under a final name."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from st_mta.errors import InputError

TEMPORARY_SUFFIX = ".tmp"


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
    temporary = path.with_name(f".{path.name}-{uuid.uuid4().hex}{TEMPORARY_SUFFIX}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Made the usual way, since tempfile's files can be read by their owner only, and a store may be shared.
        temporary.touch(exist_ok=False)
        yield temporary
        _flush_to_disk(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise _explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def atomic_write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, in UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _flush_to_disk(path: Path) -> None:
    # Without it the name may reach the disk before the bytes do, and a power cut leaves an empty file.
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _explained(error: OSError, path: Path) -> Exception:
    """A full disk as something the user can mend, anything else as it came."""
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        return error
    return InputError(
        expected=f"room for another file in {path.parent}",
        got=f"a full disk while writing {path.name}",
        consequence="a half-written file would stand under a final name",
        remedy="everything written before this file is whole and will be reused; free some space "
        "(st-mta cache lists and clears stored scores and embeddings), then run the same command again",
    )
