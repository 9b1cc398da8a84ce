"""The journal of a run: which stages are finished, with their results, so that a killed run resumes."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import sentence_transformers
import transformers

from st_mta import __version__
from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.run.manifest import Content, Manifest, is_damaged
from st_mta.stores import Ledger
from st_mta.stores.damage import rename_damaged

logger = logging.getLogger(__name__)

LOG = "log_history.json"
"""What the host's trainer logged in a stage."""
BACKUP = ".bak"
"""Suffix of the journal's copy beside it."""

Result = TypeVar("Result")
VERSIONS = {
    "st-mta": __version__,
    "sentence-transformers": sentence_transformers.__version__,
    "transformers": transformers.__version__,
}
"""Who names the arguments: between other versions, arguments that only one of them knows are not compared."""


class Journal:
    """Runs stages once: a finished stage answers from the file, an unfinished one works and is then recorded.

    A stage writes its own files atomically and returns what the later ones need, as JSON. The journal also keeps
    the digests of these files, the seconds a stage took and what the ledger counted meanwhile. A stage whose files
    are no longer as it wrote them is repeated; those after it are repeated only if it writes other files this time.

    Args:
        path: The file.
        configuration: Everything the result depends on; a run resumes only under the same configuration.
        ledger: The counters of the run's store.
    """

    def __init__(self, path: Path, configuration: dict[str, Any], ledger: Ledger) -> None:
        self.path = path
        self.backup = path.with_name(path.name + BACKUP)
        self.manifest = Manifest(path.parent)
        self.ledger = ledger
        self._record: dict[str, Any] = {"versions": VERSIONS, "configuration": configuration, "stations": {}}
        self._damaged: set[str] = set()

    @classmethod
    def of(cls, path: Path) -> Journal:
        """A journal that is only read, whatever configuration it was begun under.

        Raises:
            InputError: If neither it nor its copy can be read.
        """
        journal = cls(path, {}, Ledger())
        try:
            journal._record = _read(path)
        except InputError as error:
            try:
                journal._record = _read(journal.backup)
            except InputError:
                raise error from None
        return journal

    def open(self) -> None:
        """Reads the file, or makes it, so that whatever is then written beside it is known to be the run's.

        Raises:
            InputError: If it was begun under another configuration, or neither it nor its copy can be read.
        """
        if self.path.exists() or self.backup.exists():
            configuration, self._record = self._record["configuration"], self._read()
            self._refuse_other(configuration)
            self._damaged = self._find_damaged()
        else:
            self._save()

    def follow(self) -> None:
        """Reads what another process has recorded meanwhile; nothing is written."""
        self._record = self._read()

    def _read(self) -> dict[str, Any]:
        """The record, or where it is damaged its copy, which at most lacks the last stage."""
        try:
            return _read(self.path)
        except InputError as error:
            try:
                record = _read(self.backup)
            except InputError:
                raise error from None
            rename_damaged([self.path], "not the journal of a run", f"the run resumes by {self.backup.name}")
            atomic_write_text(self.path, json.dumps(record, indent=1))
            return record

    def _find_damaged(self) -> set[str]:
        """The stages of whose files some are not as they were written."""
        root = self.path.parent
        found: dict[str, str] = {}
        for stage, entry in self._record["stations"].items():
            files = entry.get("files", {})
            found |= {path: stage for path, content in files.items() if is_damaged(root / path, content)}
        if found:
            logger.warning(
                "Missing from %s, or changed since they were written: %s. Repeating: %s.",
                root,
                ", ".join(found),
                ", ".join(dict.fromkeys(found.values())),
            )
        return set(found.values())

    def _refuse_other(self, configuration: dict[str, Any]) -> None:
        before, now = self._record["configuration"], json.loads(json.dumps(configuration))
        same_versions = self._record.get("versions") == VERSIONS
        known = before.keys() | now.keys() if same_versions else before.keys() & now.keys()
        differing = sorted(key for key in known if before.get(key) != now.get(key))
        if not differing:
            return
        changes = "; ".join(f"{key}: {before.get(key)!r} there, {now.get(key)!r} now" for key in differing[:5])
        raise InputError(
            expected=f"the configuration with which {self.path.parent} was begun",
            got=f"another one ({changes})",
            consequence="two different runs would be mixed in one folder",
            remedy="name another output folder, or pass --overwrite to begin this one anew",
        )

    def __contains__(self, stage: str) -> bool:
        return stage in self._record["stations"]

    def run(self, stage: str, work: Callable[[], Result], kind: Callable[..., Result]) -> Result:
        """The stage's result: recorded, or worked out now and recorded.

        Args:
            stage: Its name in the file.
            work: Does it.
            kind: The class of its result, a dataclass or dict.
        """
        if stage not in self or stage in self._damaged:
            start, before = time.perf_counter(), self.ledger.copy()
            with self.manifest.recording(stage) as files:
                result: Any = work()
            counted = (self.ledger - before).as_dict()
            seconds = time.perf_counter() - start
            recorded = asdict(result) if is_dataclass(result) and not isinstance(result, type) else result
            self._take(stage, {"result": recorded, "seconds": seconds, "counted": counted, "files": files})
            logger.info("%-22s %7.1f s", stage, seconds)
        return self.result(stage, kind)

    def _take(self, stage: str, entry: dict[str, Any]) -> None:
        """Records a stage, and drops the later ones where it was repeated and wrote other files than before."""
        stations = self._record["stations"]
        if stage in stations and _lasting(stations[stage]) != _lasting(entry):
            later = list(stations)[list(stations).index(stage) + 1 :]
            for name in later:
                del stations[name]
        self._damaged.discard(stage)
        stations[stage] = entry
        self._save()

    def result(self, stage: str, kind: Callable[..., Result]) -> Result:
        """What a finished stage returned; fields that this version does not know are passed over."""
        recorded = self._record["stations"][stage]["result"]
        known = {field.name for field in fields(kind)} if is_dataclass(kind) else recorded.keys()
        return kind(**{name: value for name, value in recorded.items() if name in known})

    def _save(self) -> None:
        text = json.dumps(self._record, indent=1)
        for path in (self.path, self.backup):
            atomic_write_text(path, text)

    def seconds(self) -> dict[str, float]:
        """Seconds by stage."""
        return {name: entry["seconds"] for name, entry in self._record["stations"].items()}

    def counted(self) -> dict[str, int]:
        """The ledger's counters summed over all stages."""
        entries = [entry["counted"] for entry in self._record["stations"].values()]
        return {field.name: sum(entry.get(field.name, 0) for entry in entries) for field in fields(Ledger)}


def _lasting(entry: dict[str, Any]) -> dict[str, Content]:
    """The files of a stage that are the same whenever it is repeated; logs hold times of day."""
    return {path: content for path, content in entry.get("files", {}).items() if not path.endswith(LOG)}


def _read(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        record["configuration"].keys(), record["stations"].keys()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            expected=f"the journal of a run in {path}",
            got=f"something else ({type(error).__name__}: {error})",
            remedy="restore the file, name another output folder, or pass --overwrite to begin this one anew",
        ) from error
    return record
