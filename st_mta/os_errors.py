"""What the operating system refuses, as one message, whoever words it: Python, torch, numpy, Arrow, DuckDB."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from st_mta.errors import InputError

ROOM = "free some space (st-mta cache lists and clears stored scores and embeddings), then run the same command again"
RIGHTS = "correct its permissions, or name another place"
PLACE = "name another place"
REASONS: dict[int, tuple[str, str]] = {
    errno.ENOSPC: ("the disk is full", ROOM),
    errno.EDQUOT: ("the disk quota is used up", ROOM),
    errno.EFBIG: ("the file is larger than the disk or a limit allows", ROOM),
    errno.EROFS: ("the disk is read-only", PLACE),
    errno.EACCES: ("it is not permitted", RIGHTS),
    errno.EPERM: ("it is not permitted", RIGHTS),
    errno.ENOTDIR: ("a file stands where a folder should be", PLACE),
    errno.EISDIR: ("a folder stands where a file should be", PLACE),
    errno.EEXIST: ("something of this name is there", PLACE),
    errno.ENOTEMPTY: ("a folder of this name is there, and is not empty", PLACE),
    errno.ENOENT: ("there is no such file or folder", "correct the name, or check that nothing deletes it meanwhile"),
    errno.ENAMETOOLONG: ("the name is too long for this disk", "give a shorter name"),
    errno.ELOOP: ("symbolic links go round in a circle", "correct the links, or name another place"),
    errno.EIO: ("the disk reports an error", "check the disk, then run the same command again"),
    errno.ESTALE: ("the network drive has lost it", "check the drive, then run the same command again"),
    errno.EBUSY: ("another program is using it", "end that program, or name another place"),
    errno.ENXIO: ("the device is not there", PLACE),
    errno.ENODEV: ("the device is not there", PLACE),
    errno.EMFILE: ("too many files are open", "raise the limit (ulimit -n), then run the same command again"),
    errno.ENFILE: ("too many files are open", "close other programs, then run the same command again"),
}
"""Why, and what to do."""
NUMBERS = {
    FileNotFoundError: errno.ENOENT,
    PermissionError: errno.EACCES,
    NotADirectoryError: errno.ENOTDIR,
    IsADirectoryError: errno.EISDIR,
}
HALF_WRITTEN = ("requested and", "unexpected pos", "PytorchStreamWriter failed writing", "database or disk is full")
"""How numpy, torch and SQLite word a write that came to an end too early; none of them says why."""


def explained(error: BaseException, path: Path | str | None = None) -> InputError | None:
    """The error as a message, if the operating system is behind it.

    Args:
        error: Of any kind; its cause is looked at as well.
        path: What was read or written, where the error does not say.

    Returns:
        None where it is something else: a fault of the program, or of the network.
    """
    number = _number(error)
    if number is None:
        return None if error.__cause__ is None else explained(error.__cause__, path)
    why, remedy = REASONS[number]
    files = [str(name) for name in (getattr(error, "filename", None), getattr(error, "filename2", None), path) if name]
    detail = "" if isinstance(error, OSError) and error.strerror else f" ({' '.join(str(error).split())})"
    return InputError(
        expected=f"to be able to read and write {files[0] if files else 'files'}",
        got=f"a refusal: {why[0].upper()}{why[1:]}{detail}",
        remedy=f"{remedy}; what was finished before is whole",
    )


def is_full_disk(error: BaseException) -> bool:
    """Whether an error of the system, numpy, torch, safetensors or Arrow says that the disk or a quota is full."""
    return _number(error) in (errno.ENOSPC, errno.EDQUOT)


def _number(error: BaseException) -> int | None:
    """The number of the system's error, by its attribute or its words."""
    if isinstance(error, OSError) and error.errno in REASONS:
        return error.errno
    if isinstance(error, InputError):
        return None
    for kind, number in NUMBERS.items():  # libraries raise them with a text of their own
        if isinstance(error, kind):
            return number
    text = str(error)
    worded = [number for number in REASONS if number != errno.ENOENT and os.strerror(number) in text]
    return worded[0] if worded else errno.ENOSPC if any(words in text for words in HALF_WRITTEN) else None
