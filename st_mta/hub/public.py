"""Names and options fit for publication: without secrets, and without the folders of the machine of the run."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

SECRET = re.compile(r"(^|_)(token|key|secret|password|passwd|credential|authorization)s?$|(Token|Key)$", re.IGNORECASE)
"""Names of options whose values stay private, such as ``hub_token`` and ``WANDB_API_KEY``."""
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")
_START = r"(?<![\w<./~])(?:/(?!/)|~/|\.\.?/|file:/+|[A-Za-z]:[\\/](?!/))"
_PART = r"(?:(?![,;:]\s)[^\\/\n\"'`+<>|])+"
FOLDERS = re.compile(rf"{_START}(?:{_PART}(?<!\s)[\\/]+)*(?=[^\s\"'\\/])")
"""The folders of a path from the root, a drive, the home or the working folder; they may hold blanks."""
PATH = re.compile(rf"{FOLDERS.pattern}{_PART}")


def without_secrets(value: Any) -> Any:
    """Nested options without those that are secret by their name, also inside JSON in a string; tokens are blanked."""
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items() if not SECRET.search(str(name))}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        if isinstance(parsed := json.loads(value), (dict, list)):
            value = json.dumps(without_secrets(parsed))
    return HUB_TOKEN.sub("(token)", value)


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
