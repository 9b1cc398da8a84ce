"""Runs drills in folders of their own, and notes what came of each."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from benchmarks.faults.drills import Drill, Skipped
from benchmarks.faults.material import Material
from benchmarks.faults.processes import CONTEXT

PROCESSES = 2
BATCH = 60
"""Drills that share a process, where they call functions."""


def entries(log: Path) -> list[dict[str, Any]]:
    """What the log holds; a line that a kill cut short is passed over."""
    found = []
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def outcomes(material: Material, drills: list[Drill]) -> Iterator[dict[str, Any]]:
    """Runs the drills: those that call functions in batches, others side by side, the last ones alone."""
    inside = [drill for drill in drills if drill.inside]
    beside = [drill for drill in drills if not drill.inside and not drill.alone]
    batches = [inside[start : start + BATCH] for start in range(0, len(inside), BATCH)]
    with ThreadPoolExecutor(PROCESSES) as pool:
        for found in pool.map(lambda batch: in_one_process(material, batch), batches):
            yield from found
        yield from pool.map(lambda drill: outcome(material, drill), beside)
    yield from (outcome(material, drill) for drill in drills if drill.alone)


def outcome(material: Material, drill: Drill) -> dict[str, Any]:
    """One drill in a folder of its own."""
    folder = Path(tempfile.mkdtemp(prefix="drill-", dir=material.work))
    start, skipped = time.perf_counter(), False
    try:
        happened = drill.work(material, folder)
    except Skipped as reason:
        happened, skipped = str(reason), True
    except Exception as error:
        happened = f"the drill itself failed ({type(error).__name__}: {error})"
    shutil.rmtree(folder, ignore_errors=True)
    happened = happened.replace(str(folder), "FOLDER").replace(str(material.work), "WORK")
    kept = {"outcome": happened, "skipped": skipped, "seconds": round(time.perf_counter() - start, 2)}
    return {"category": drill.category, "name": drill.name, **kept}


def in_one_process(material: Material, drills: list[Drill]) -> list[dict[str, Any]]:
    """Drills one after the other in a process of their own; if it dies, the drill that it died of did not survive."""
    found: list[dict[str, Any]] = []
    while len(found) < len(drills):
        left, log = drills[len(found) :], Path(tempfile.mkdtemp(prefix="batch-", dir=material.work)) / "done.jsonl"
        process = CONTEXT.Process(target=worked, args=(material, left, log))
        process.start()
        process.join(600)
        if process.exitcode is None:
            process.kill()
            process.join()
        done = entries(log)
        found += done
        if len(done) < len(left):
            died = left[len(done)]
            how = f"the process ended with {process.exitcode}"
            found.append(
                {"category": died.category, "name": died.name, "outcome": how, "skipped": False, "seconds": 0.0}
            )
        shutil.rmtree(log.parent, ignore_errors=True)
    return found


def worked(material: Material, drills: Iterable[Drill], log: Path) -> None:
    """In the new process: every outcome is written at once."""
    torch.set_num_threads(1)
    logging.disable(logging.ERROR)
    warnings.simplefilter("ignore")
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    for drill in drills:
        entry = outcome(material, drill)
        with open(log, "a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False) + "\n")
