"""The manifest: every file that a run wrote into its folder, so that nothing else is ever deleted."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text, watching

Content = dict[str, Any]
"""``size`` in bytes and ``digest`` of a file."""

UNVERIFIED = ("checkpoints", "student-embeddings")
"""Folders whose files are checked by those who read them: marked checkpoints, stored embeddings."""
UNREAD = ("*.md", "dev.trec")
"""Files that no later stage reads."""


class Manifest:
    """A file of JSON lines with ``path``, ``stage``, ``size`` and ``digest``, one line for each file written.

    A line is on disk before its file gets its name: a killed run never leaves a file that the manifest does not know.

    Args:
        root: The folder of the run.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "manifest.jsonl"

    def exists(self) -> bool:
        """Whether a run was begun here."""
        return self.path.exists()

    def begin(self, found: list[Path]) -> None:
        """Begins the manifest with what an earlier version wrote; does nothing where there is one."""
        if not self.exists():
            lines = [json.dumps({"path": path.relative_to(self.root).as_posix(), "stage": ""}) for path in found]
            self._append("\n".join(["{}", *lines]))

    def begin_clearing(self) -> None:
        """Notes that everything in it is to be deleted, so that a run killed meanwhile is deleted to the end."""
        self._append(json.dumps({"clearing": True}))

    @property
    def clearing(self) -> bool:
        """Whether a deletion was begun and not finished."""
        return any(entry.get("clearing") for entry in self._entries())

    def forget(self) -> None:
        """Empties the manifest, once everything in it is deleted."""
        atomic_write_text(self.path, "{}\n")

    @contextmanager
    def recording(self, stage: str) -> Iterator[dict[str, Content]]:
        """Within it every file written below the root is noted; yields those that are read again, by path."""
        files: dict[str, Content] = {}

        def note(path: Path, temporary: Path) -> None:
            if not path.is_relative_to(self.root):
                return
            inside = path.relative_to(self.root)
            content = content_of(temporary) if _verified(inside) else {"size": temporary.stat().st_size}
            if _verified(inside):
                files[inside.as_posix()] = content
            self._append(json.dumps({"path": inside.as_posix(), "stage": stage, **content}))

        with watching(note):
            yield files

    def written(self) -> list[Path]:
        """The files that are still there, each once; none behind links that lead out of the folder."""
        paths = dict.fromkeys(entry["path"] for entry in self._entries() if isinstance(entry.get("path"), str))
        inside = self.root.resolve()
        found = [self.root / path for path in paths]
        return [p for p in found if os.path.lexists(p) and p.parent.resolve().is_relative_to(inside)]

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Those that can be read: a killed run may leave half a line."""
        if not self.exists():
            return
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                yield entry

    def _append(self, text: str) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        with open(self.path, "ab") as file:
            # In front of the line, so that half a line of a killed run does not take this one with it.
            file.write(f"\n{text}\n".encode())
            file.flush()
            os.fsync(file.fileno())


def content_of(path: Path) -> Content:
    """Size and digest of a file."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return {"size": path.stat().st_size, "digest": digest.hexdigest()}


def is_damaged(path: Path, content: Content) -> bool:
    """Whether a file is missing, cannot be read, or is not what was written."""
    try:
        return path.stat().st_size != content["size"] or content_of(path) != content
    except OSError:
        return True


def _verified(path: Path) -> bool:
    return not any(part in UNVERIFIED for part in path.parts) and not any(path.match(name) for name in UNREAD)
