"""Takes out of a run's texts what is private or would be obeyed, before they are published."""

from __future__ import annotations

import html
import json
import math
import os
import re
from pathlib import Path, PurePath
from typing import Any

import yaml

from st_mta.errors import InputError
from st_mta.hub.public import FOLDERS, homes_here, inert, local_paths, public, strings_of, without_homes
from st_mta.hub.secrets import BLANKED, blanked, secrets_here, secrets_of, without_secrets
from st_mta.names import file_name
from st_mta.report.tables import systems

CONFIG = "config.yaml"


class Cleaning:
    """What is taken out of every text of a run before it is published.

    Args:
        folder: The run's output folder.
        repo_id: What stands for the student's folder.
    """

    def __init__(self, folder: Path, repo_id: str) -> None:
        config = folder / CONFIG
        self.report = _read_report(folder)
        options: Any = yaml.safe_load(config.read_text(encoding="utf-8")) if config.is_file() else {}
        self.secrets = secrets_of(options) | secrets_of(self.report) | secrets_here().keys()
        self.replaced = _replacements(folder, repo_id, [self.report, options], options)

    def name(self, name: str) -> str:
        """A file's name without folders of this machine."""
        return _replace(name, self.replaced)

    def text(self, text: str) -> str:
        """A text without folders, secrets and control characters."""
        for secret in sorted(self.secrets, key=len, reverse=True):
            text = text.replace(secret, BLANKED)
        return inert(without_homes(_replace(blanked(text), self.replaced), homes_here()))

    def file(self, path: Path) -> Path | bytes:
        """The file as it is, or its text cleaned; what is no text stays."""
        try:
            text = cleaned = path.read_bytes().decode()
        except UnicodeDecodeError:
            return path
        if path.name == CONFIG:  # by its values: YAML breaks long ones over lines, and paths with them
            options = yaml.safe_load(text)
            kept = self._values(without_secrets(options))
            cleaned = text if kept == options else yaml.safe_dump(kept, sort_keys=False, width=math.inf)
        cleaned = self.text(cleaned)
        return path if cleaned == text else cleaned.encode()

    def _values(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {self._values(name): self._values(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._values(inner) for inner in value]
        return self.text(value) if isinstance(value, str) else value

    def settings(self, path: Path) -> Path | bytes:
        """Settings of the student without the places they came from; vocabularies, weights and code as they are."""
        if path.suffix != ".json" or path.name in ("tokenizer.json", "vocab.json"):
            return path
        content = self.file(path)
        try:
            settings = json.loads(content if isinstance(content, bytes) else content.read_bytes())
        except ValueError:
            return content
        kept = _without_origin(settings)
        return content if kept == settings else json.dumps(kept, indent=2, ensure_ascii=False).encode()


def _read_report(folder: Path) -> Any:
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        systems(report)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            expected=f"the report of a finished run in {folder / 'report.json'}",
            got=f"something else ({type(error).__name__}: {error})",
            remedy="run the distillation's command again, or restore the file",
        ) from error
    return report


def _without_origin(value: Any) -> Any:
    """Settings with local paths under ``_name_or_path`` and its like cut to their last part."""
    if isinstance(value, list):
        return [_without_origin(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: public(inner) if isinstance(inner, str) and name.endswith("name_or_path") else _without_origin(inner)
        for name, inner in value.items()
    }


def _replacements(folder: Path, repo_id: str, described: Any, options: Any) -> dict[str, str]:
    """Private text -> what stands for it in public."""
    replaced = {path: public(path) for path in local_paths(described)}
    replaced |= {path: PurePath(path).name for path in _relative_paths(options) | _quoted_paths(options)}
    replaced |= {html.escape(path): html.escape(name) for path, name in replaced.items()}
    # Run files are named after scorers, with other signs for "/" and ":"; tags in them have none for blanks.
    for spelt in (file_name, _as_tag, lambda name: _as_tag(file_name(name))):
        replaced |= {spelt(path): spelt(name) for path, name in replaced.items()}
    students = [(root / "student").as_posix() for root in (folder, folder.absolute(), folder.resolve())]
    page = folder / "report.md"  # it loads the student from where it was, and the folder may have been moved since
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    students += re.findall(r"""(?:SentenceTransformer|CrossEncoder)\(["']([^"']+)["']""", text)
    return replaced | dict.fromkeys(students, repo_id)


def _relative_paths(options: Any) -> set[str]:
    """What the options name relative to the working folder: output and store, and whatever is there."""
    own = {options.get(name) for name in ("output_dir", "store")} if isinstance(options, dict) else set()
    texts = {text.partition(":")[2] or text for text in strings_of(options)} | {*filter(None, own)}
    paths = {text for text in texts if "/" in text and public(text) == text}
    return {path for path in paths if path in own or os.path.exists(path)}


def _quoted_paths(options: Any) -> set[str]:
    """Options that are one local path with a quotation mark in it, where a path in a sentence would end."""
    texts = {text if text.startswith("/") else text.partition(":")[2] for text in strings_of(options)}
    return {text for text in texts if FOLDERS.match(text) and re.search("[\"'`+<>|]", text) and "\n" not in text}


def _as_tag(name: str) -> str:
    return "_".join(name.split())


def _replace(text: str, replaced: dict[str, str]) -> str:
    """The text with whole paths replaced, the longest first ("/a" is no path in "</a>" or "b/a")."""
    longest_first = sorted(replaced, key=len, reverse=True)
    pattern = rf"(?<![\w<.])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])"
    return re.sub(pattern, lambda found: replaced[found[0]], text)
