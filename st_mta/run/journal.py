"""The journal of a run: which stations are finished, with their results, so that a killed run goes on."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.stores import Ledger

logger = logging.getLogger(__name__)

Result = dict[str, Any]


class Journal:
    """Runs stations once: a finished station answers from the file, an unfinished one works and is then recorded.

    A station writes its own files atomically and returns what the later ones need, as JSON. The journal also keeps
    the seconds a station took and what the ledger counted meanwhile.

    Args:
        path: The file, made on the first record.
        configuration: Everything the result depends on; a run goes on only under the same configuration.
        ledger: The counters of the run's store.
    """

    def __init__(self, path: Path, configuration: dict[str, Any], ledger: Ledger) -> None:
        self.path = path
        self.ledger = ledger
        self._record: dict[str, Any] = {"configuration": configuration, "stations": {}}
        if path.exists():
            self._record = json.loads(path.read_text(encoding="utf-8"))
            self._refuse_other(configuration)

    def _refuse_other(self, configuration: dict[str, Any]) -> None:
        before, now = self._record["configuration"], json.loads(json.dumps(configuration))
        differing = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
        if not differing:
            return
        changes = "; ".join(f"{key}: {before.get(key)!r} there, {now.get(key)!r} now" for key in differing[:5])
        raise InputError(
            expected=f"the configuration with which {self.path.parent} was begun",
            got=f"another one ({changes})",
            consequence="two different runs would be mixed in one folder",
            remedy="name another output folder, or pass --overwrite to begin this one anew",
        )

    def __contains__(self, station: str) -> bool:
        return station in self._record["stations"]

    def run(self, station: str, work: Callable[[], Result]) -> Result:
        """The station's result: recorded, or worked out now and recorded."""
        if station not in self:
            start, before = time.perf_counter(), self.ledger.copy()
            result = work()
            counted = (self.ledger - before).as_dict()
            seconds = time.perf_counter() - start
            self._record["stations"][station] = {"result": result, "seconds": seconds, "counted": counted}
            self._save()
            logger.info("%-22s %7.1f s", station, seconds)
        return self.result(station)

    def result(self, station: str) -> Result:
        """What a finished station returned."""
        result: Result = self._record["stations"][station]["result"]
        return result

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write_text(self.path, json.dumps(self._record, indent=1))

    def seconds(self) -> dict[str, float]:
        """Seconds by station."""
        return {name: entry["seconds"] for name, entry in self._record["stations"].items()}

    def counted(self) -> dict[str, int]:
        """The ledger's counters summed over all stations."""
        entries = [entry["counted"] for entry in self._record["stations"].values()]
        return {field.name: sum(entry.get(field.name, 0) for entry in entries) for field in fields(Ledger)}
