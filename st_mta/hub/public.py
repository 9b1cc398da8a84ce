"""Names and options as strangers may read them: without secrets, and without the folders of the machine of the run."""

from __future__ import annotations

import json
import re
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

SECRET = re.compile(r"(^|_)(token|key|secret|password|passwd|credential)s?$", re.IGNORECASE)
"""Names of options whose values are nobody else's business, such as ``hub_token`` and ``WANDB_API_KEY``."""
HUB_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}")


def without_secrets(value: Any) -> Any:
    """Nested options without those that are secret by their name, also inside JSON in a string; tokens are blanked."""
    if isinstance(value, dict):
        return {name: without_secrets(inner) for name, inner in value.items() if not SECRET.search(str(name))}
    if isinstance(value, (list, tuple)):
        return [without_secrets(inner) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        parsed = json.loads(value)
    except ValueError:
        parsed = None
    if isinstance(parsed, (dict, list)):
        value = json.dumps(without_secrets(parsed))
    return HUB_TOKEN.sub("(token)", value)


def public(text: str) -> str:
    """The text with every local path in it cut to its last part; Hub ids and combinations ("a+b") stay."""
    return " ".join("+".join(_last_part(name) for name in word.split("+")) for word in text.split(" "))


def public_rows(rows: list[dict[str, str]], *columns: str) -> list[dict[str, str]]:
    """Rows of a table with these columns made public."""
    return [{column: public(value) if column in columns else value for column, value in row.items()} for row in rows]


def local_paths(value: Any) -> set[str]:
    """Every local path among the strings of nested JSON or YAML, keys included."""
    if isinstance(value, dict):
        return local_paths([*value, *value.values()])
    if isinstance(value, (list, tuple)):
        return {path for inner in value for path in local_paths(inner)}
    words = value.replace("+", " ").split(" ") if isinstance(value, str) else []
    paths = {word for word in words if _last_part(word) != word}
    return paths | ({value} if isinstance(value, str) and _last_part(value) != value else set())


def is_local_path(name: str) -> bool:
    """Whether a name is written as a path: from the root, a drive, the home or the working folder."""
    windows = PureWindowsPath(name)
    return name.startswith(("/", "~/", "./", "../", "file:")) or bool(windows.drive and windows.root)


def _last_part(name: str) -> str:
    prefix, colon, rest = name.partition(":")
    if colon and is_local_path(rest) and not is_local_path(name):  # a kind in front: "late-interaction:/models/a"
        return f"{prefix}:{_last_part(rest)}"
    if not is_local_path(name):
        return name
    part = PureWindowsPath(name).name if "\\" in name else PurePosixPath(name).name
    return part or name
