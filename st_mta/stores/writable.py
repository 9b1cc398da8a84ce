"""A store that cannot be read or written, as something the user can mend."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from st_mta.errors import InputError


@contextmanager
def usable(folder: Path, purpose: str = "written") -> Iterator[None]:
    """Turns what the operating system says about a folder of the store into an ``InputError``."""
    try:
        yield
    except OSError as error:
        raise InputError(
            expected=f"stored scores and embeddings in a folder that can be {purpose}, {folder}",
            got=f"{error.strerror or error} ({error.filename or folder})",
            remedy="check the path, its permissions and the disk, or give another folder with --store or ST_MTA_CACHE",
        ) from error
