"""Names of scorers: as file names, and which of them a run keeps for itself."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

from st_mta.errors import InputError

RESERVED = re.compile(r"student|student[-_]before|warm-up|iteration-\d+|others|qrels")
"""Names that a run gives to its students, to what is left over in a plot, and to labelled passages."""
LONGEST = 212  # bytes of a file name; the system allows 255, and endings and temporary names take 43
UNUSABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # in file names, or written by no encoding


def file_name(name: str) -> str:
    """A scorer's name as a file name; what is too long or cannot be written is cut and told apart by a digest."""
    usual = name.replace("/", "--").replace(":", "--")
    usable = UNUSABLE.sub("-", usual)
    if usable == usual and len(usual.encode()) <= LONGEST:
        return usual
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    end = usable.encode()[-(LONGEST - 17) :].decode(errors="ignore")  # the end says more: a path's last folders
    return f"{digest}-{end}"


def refuse_same_files(names: Iterable[str]) -> None:
    """Refuses names whose files would be one, also where a file system ignores case.

    Raises:
        InputError: If there are two of these.
    """
    seen: dict[str, str] = {}
    for name in names:
        file = unicodedata.normalize("NFC", file_name(name)).casefold()
        if seen.setdefault(file, name) != name:
            raise InputError(
                expected="names that make different file names",
                got=f"{seen[file]!r} and {name!r}",
                consequence="one would overwrite the other's run file",
                remedy="give one of them another name",
            )


def refuse_unusable(names: Iterable[str]) -> None:
    """Refuses what cannot be a name beside those of a run's students and of fused assistants.

    Raises:
        InputError: If a name is empty, reserved or not Unicode, is that of a fusion of others ("a+b" beside "a" and
            "b"), or makes the same file name as another one.
    """
    names = list(names)
    for name in names:
        others = set(names) - {name}
        if not name.strip():
            found = "an empty name"
        elif RESERVED.fullmatch(name.casefold()):
            found = f"{name!r}, which a run uses itself"
        elif any("\ud800" <= sign <= "\udfff" for sign in name):
            found = f"{name!r}, which is no Unicode"
        elif "+" in name and set(name.split("+")) <= others:
            found = f"{name!r}, as the fusion of {name.replace('+', ' and ')} is called"
        else:
            continue
        raise InputError(
            expected="teacher and assistants under names of their own",
            got=found,
            consequence="one system's figures would stand for another's",
            remedy="give it another name (name=...), or rename its folder",
        )
    refuse_same_files(names)
