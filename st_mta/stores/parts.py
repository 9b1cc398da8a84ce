"""Parts of a store: files that carry the digest of their bytes in their names and appear whole or not at all."""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import xxhash

from st_mta.atomic import atomic_path
from st_mta.stores.writable import usable

DIGESTS = re.compile(r"part-[0-9a-f]{32}((?:-[0-9a-f]{16})+)")
ATTEMPTS = 5
"""Times a part is written or read again where another process clears or merges at the same moment."""
CHUNK = 2**18  # bytes hashed at once: they stay in a core's cache

Bytes = bytes | bytearray | memoryview
Signature = tuple[int, int, int]


def write_part(folder: Path, files: Mapping[str, Sequence[Bytes]]) -> str:
    """Writes the files of one part, in this order.

    Args:
        folder: Made if missing, also where it is deleted in the meantime.
        files: Suffix -> the pieces of the file's content.

    Returns:
        The part's name without a suffix: a random number, then a digest of each file.

    Raises:
        InputError: If the folder cannot be written, or the disk is full.
    """
    name = "-".join(["part", uuid.uuid4().hex, *map(digest_of, files.values())])
    for suffix, pieces in files.items():
        _write(folder / f"{name}{suffix}", pieces)
    return name


def _write(path: Path, pieces: Iterable[Bytes]) -> None:
    with usable(path.parent):
        for left in reversed(range(ATTEMPTS)):
            try:
                # The file's own write says what failed; numpy's and safetensors' do not.
                with atomic_path(path) as temporary, open(temporary, "wb") as file:
                    file.writelines(pieces)
                return
            except FileNotFoundError:  # the store is being cleared
                if not left:
                    raise


def digest_of(pieces: Iterable[Bytes]) -> str:
    """The digest of some bytes, 16 hexadecimal digits: against rot, not against forgery."""
    digest = xxhash.xxh3_64()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()


def digests_in(name: str) -> list[str]:
    """The digests that a part's name holds; none for parts of versions before there were any."""
    found = DIGESTS.match(name)
    return found[1][1:].split("-") if found else []


def listed(folder: Path, suffix: str) -> list[os.DirEntry[str]]:
    """The parts of a folder with this suffix, by name; none if there is no such folder."""
    with usable(folder, "read"):
        try:
            with os.scandir(folder) as entries:
                found = [entry for entry in entries if entry.name.startswith("part-") and entry.name.endswith(suffix)]
        except (FileNotFoundError, NotADirectoryError):
            return []
    return sorted(found, key=lambda entry: entry.name)


class Verified:
    """Files whose bytes were compared with the digests in their names, each once until it changes."""

    def __init__(self) -> None:
        self._known: dict[str, Signature] = {}

    def problem(self, path: Path | os.DirEntry[str], file: int = 0) -> str:
        """What is wrong with a file, "" if it is whole or its name says nothing; the ``file``-th of its part.

        Raises:
            FileNotFoundError: If it is gone.
        """
        digests = digests_in(path.name)
        signature = signature_of(path)
        if file < len(digests) and self._known.get(os.fspath(path)) != signature:
            if _digest_of_file(os.fspath(path)) != digests[file]:
                return "its bytes are not those that were written"
            self._known[os.fspath(path)] = signature
        return ""

    def is_known(self, path: Path | os.DirEntry[str]) -> bool:
        """Whether the file was remembered as it is now."""
        return self._known.get(os.fspath(path)) == signature_of(path)

    def remember(self, path: Path | os.DirEntry[str]) -> None:
        """Notes that a file without a digest was found whole in another way."""
        self._known[os.fspath(path)] = signature_of(path)


def signature_of(path: Path | os.DirEntry[str]) -> Signature:
    """What changes with a file: its number, size and time."""
    status = os.stat(path)  # an entry's own status may be that of an earlier look
    return status.st_ino, status.st_size, status.st_mtime_ns


def _digest_of_file(path: str) -> str:
    digest, buffer = xxhash.xxh3_64(), memoryview(bytearray(CHUNK))
    with open(path, "rb", buffering=0) as file:
        while size := file.readinto(buffer):
            digest.update(buffer[:size])
    return digest.hexdigest()
