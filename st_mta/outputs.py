"""Places to write to, checked before anything is computed for them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from st_mta.errors import InputError
from st_mta.os_errors import REASONS, explained

LONGEST_ADDITION = 48
"""Bytes that a file's name grows by while it is written (see [`st_mta.atomic`])."""


class Folders:
    """Names of folders that are there, or could be made; a store on a read-only disk may be read."""

    def __contains__(self, name: object) -> bool:
        path = Path(str(name))
        try:
            _check_name(path, 0)
            return path.is_dir() or (not path.exists() and _nearest(path).is_dir())
        except (OSError, ValueError, RuntimeError):
            return False

    def __str__(self) -> str:
        return "to be a folder, or a place for one"


def check_output_folder(path: Path | str) -> Path:
    """The folder, which need not be there, with the user's home written out; nothing is made.

    Raises:
        InputError: If it is a file, lies below one, or may not be written.
    """
    folder = Path(path).expanduser()
    try:
        _check_name(folder, 0)
        if folder.exists() and not folder.is_dir():
            raise InputError(expected="an output folder", got=f"the file {folder}", remedy="name another folder")
        _check_writable(folder if folder.exists() else _nearest(folder), folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise _refusal(error, folder) from error
    return folder


def check_output_file(path: Path | str) -> Path:
    """The same for a file, whose folder need not be there."""
    file = Path(path).expanduser()
    try:
        _check_name(file, LONGEST_ADDITION)
        if file.is_dir() or not file.name:
            raise InputError(expected="a file to write", got=f"the folder {file}", remedy="name a file in it")
        _check_writable(_nearest(file), file)
    except (OSError, ValueError, RuntimeError) as error:
        raise _refusal(error, file) from error
    return file


def _check_name(path: Path, addition: int) -> None:
    """Refuses links to nothing and parts that are too long, with what the last one grows by."""
    if "\0" in str(path):
        raise ValueError("a null character in the name")
    if path.is_symlink() and not os.path.exists(path):
        remedy = "remove the link, or name another place"
        raise InputError(expected="a place to write", got=f"{path}, a link that leads nowhere", remedy=remedy)
    longest = _longest(path)
    sizes = [len(os.fsencode(part)) for part in path.parts]
    if max(sizes, default=0) > longest or sum(sizes[-1:]) + addition > longest:
        longest -= addition
        raise InputError(
            expected=f"names of at most {longest} bytes", got=repr(str(path)), remedy="give shorter names"
        )


def _longest(path: Path) -> int:
    try:
        return os.pathconf(_nearest(path), "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        return 255


def _nearest(path: Path) -> Path:
    """The closest folder above that is there; raises ``OSError`` below a file or in a circle of links."""
    for parent in path.absolute().parents:
        if os.path.lexists(parent):
            parent.stat()
            return parent
    return Path(path.anchor or ".")


def _check_writable(there: Path, wanted: Path) -> None:
    """Makes a file without a name there, since permissions alone do not tell (read-only disks, the superuser)."""
    try:
        with tempfile.TemporaryFile(dir=there):
            return
    except OSError as error:
        raise InputError(
            expected=f"a place that can be written for {wanted}",
            got=f"{there} ({REASONS.get(error.errno or 0, (str(error),))[0]})",
            consequence="everything would be computed and then be lost",
            remedy="name another place, or correct its permissions",
        ) from error


def _refusal(error: Exception, path: Path) -> InputError:
    if isinstance(error, InputError):
        return error
    return explained(error, path) or InputError(
        expected="a place to write", got=f"{str(path)!r} ({' '.join(str(error).split())})", remedy="correct the name"
    )
