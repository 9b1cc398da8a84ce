"""Names and texts fit for publication: without the folders of the machine of the run, and with nothing to obey."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

_START = r"(?<![\w<./~])(?:/(?!/)|~/|\.\.?/|file:/+|[A-Za-z]:[\\/](?!/))"
_PART = r"(?:(?![,;:]\s)[^\\/\n\"'`+<>|])+"
FOLDERS = re.compile(rf"{_START}(?:{_PART}(?<!\s)[\\/]+)*(?=[^\s\"'\\/])")
"""The folders of a path from the root, a drive, the home or the working folder; they may hold blanks."""
PATH = re.compile(rf"{FOLDERS.pattern}{_PART}")
_HOMES = r"(?<![\w.~-])(?:file:/+)?(?:/(?:home|Users)/|/root/|[A-Za-z]:[\\/]+Users[\\/]+)"
HOME_FOLDERS = re.compile(rf"{_HOMES}(?:{_PART}(?<!\s)[\\/]+)*(?=[^\s\"'\\/])")
"""The folders of a path below somebody's home, on this machine or another."""
CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal or a page would obey instead of showing it."""


def inert(text: str) -> str:
    """The text with control characters and changes of direction spelled out."""
    return CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def without_homes(text: str, homes: Iterable[str] = ()) -> str:
    """The text with every path below a home folder, or below one of the given ones, cut to its last part."""
    for home in filter(None, map(str.strip, homes)):
        text = re.sub(rf"{re.escape(home)}[\\/]+(?:{_PART}(?<!\s)[\\/]+)*(?=[^\s\"'\\/])", "", text)
    return HOME_FOLDERS.sub("", text)


def homes_here() -> list[str]:
    """The home folder and the working folder of this process, the longer first; a root is none."""
    folders = {str(folder) for place in (Path.home(), Path.cwd()) for folder in (place, place.resolve())}
    return sorted((folder for folder in folders if len(Path(folder).parts) > 1), key=len, reverse=True)


def public(text: str) -> str:
    """The text with every local path in it cut to its last part; Hub ids and combinations ("a+b") stay."""
    return FOLDERS.sub("", text)


def public_values(value: Any) -> Any:
    """Nested JSON with every string in it made public, keys included."""
    if isinstance(value, dict):
        return {public(str(name)): public_values(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [public_values(inner) for inner in value]
    return public(value) if isinstance(value, str) else value


def local_paths(value: Any) -> set[str]:
    """Every local path among the strings of nested JSON or YAML, keys included.

    In a sentence a path may end at any blank behind its last folder, so both readings are there.
    """
    texts = set(strings_of(value))
    found = {match[0].rstrip() for text in texts for match in PATH.finditer(text)}
    found |= {text for text in texts if public(text) != text}
    return found | {start[0] + public(path).split()[0] for path in found if (start := FOLDERS.match(path))}


def strings_of(value: Any) -> Iterator[str]:
    """All strings of nested JSON or YAML, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from strings_of([*value, *value.values()])
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from strings_of(inner)
