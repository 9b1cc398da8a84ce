"""Every configuration in a process of its own, its result in a file of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.speed.configuration import Configuration
from benchmarks.speed.material import make_material
from st_mta.atomic import atomic_write_text

Entry = dict[str, Any]
"""A measured configuration: ``configuration``, ``environment`` and ``measured``."""


def entries(configurations: Iterable[Configuration], work: Path, environment: dict[str, Any]) -> list[Entry]:
    """Measures what has not been measured yet in this folder; the files that are there count if they come from here.

    Args:
        configurations: In the order in which to run them.
        work: Folder with a file per configuration that is done.
        environment: Of this machine and commit; a file from another one is measured anew.
    """
    wanted = list(configurations)
    missing = [each for each in wanted if not _known(each, work, environment)]
    if missing:
        shutil.rmtree(work / "material", ignore_errors=True)
        make_material(work / "material", missing[0].queries)
    for number, each in enumerate(missing, 1):
        entry = {"configuration": asdict(each), "environment": environment, "measured": _run(each, work / "material")}
        atomic_write_text(_file(each, work), json.dumps(entry, indent=2) + "\n")
        print(f"{number}/{len(missing)} {each.name}: {_line(entry['measured'])}", flush=True)
    return [json.loads(_file(each, work).read_text()) for each in wanted]


def _file(configuration: Configuration, work: Path) -> Path:
    return work / f"{configuration.name}.json"


def _known(configuration: Configuration, work: Path, environment: dict[str, Any]) -> bool:
    if not (path := _file(configuration, work)).exists():
        return False
    entry = json.loads(path.read_text())
    return bool(entry["configuration"] == asdict(configuration) and entry["environment"] == environment)


def _run(configuration: Configuration, material: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.speed.stations", str(material), json.dumps(asdict(configuration))]
    done = subprocess.run(command, env=configuration.environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{configuration.name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _line(measured: dict[str, Any]) -> str:
    if "seconds" not in measured:
        return ", ".join(f"{name} {value / 2**20:.0f} MiB" for name, value in measured.items())
    return ", ".join(f"{station} {seconds['wall']:.1f} s" for station, seconds in measured["seconds"].items())
