"""What a stage found so far, in a file that is whole at every moment."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text

RUNNING, DONE, FAILED, TIMED_OUT, NO_TIME = "running", "done", "failed", "timed out", "no time left"
Content = dict[str, Any]
"""``stage``, ``status``, ``seconds``, ``errors`` (part -> traceback) and ``found``."""


class Record:
    """Writes a stage's file after every finding, so that a stage that is killed has said what it knew.

    Args:
        path: The file.
        stage: Name of the stage.
        **more: Kept in the file too.
    """

    def __init__(self, path: Path, stage: str, **more: Any) -> None:
        self.path, self._began = path, time.monotonic()
        self.content: Content = {"stage": stage, "status": RUNNING, "seconds": 0.0, **more, "errors": {}, "found": {}}
        self._write()

    def note(self, name: str, value: Any) -> None:
        """One finding, in the place of an earlier one of this name."""
        self.content["found"][name] = value
        self._write()

    def row(self, table: str, **cells: Any) -> None:
        """One more row of a table."""
        self.content["found"].setdefault(table, []).append(cells)
        self._write()

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Within it, an exception is written down under this name, and ends the part but not the stage."""
        try:
            yield
        except Exception:
            self.content["errors"][name] = traceback.format_exc()
            self._write()

    def end(self, status: str, error: str | None = None) -> None:
        """Writes how the stage ended; one whose parts failed has failed."""
        if error is not None:
            self.content["errors"]["stage"] = error
        self.content["status"] = FAILED if status == DONE and self.content["errors"] else status
        self._write()

    def _write(self) -> None:
        self.content["seconds"] = round(time.monotonic() - self._began, 2)
        write(self.path, self.content)


def write(path: Path, content: Content) -> None:
    """Writes a file of results whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, json.dumps(content, indent=1) + "\n")


def read(path: Path) -> Content | None:
    """A file of results, None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
