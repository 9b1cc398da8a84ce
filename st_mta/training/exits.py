"""The exits of a finished student: saved as students of their own, and measured beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from st_mta.losses.word_level.capture import num_layers
from st_mta.report.schema import ServingEntry
from st_mta.scorers import BiEncoderScorer
from st_mta.training.run_state import STUDENT, RunState
from st_mta.training.serving import measure_form
from st_mta.training.students import prune_layers
from st_mta.training.throughput import queries_per_second

EXITS = "exits"
"""Name of the stage that saves them."""


def keep_exits(run: RunState, best: Path) -> dict[str, Any]:
    """Saves each exit of the best student in a folder of its own, ``exits/1-layers`` and so on.

    Returns:
        Folder within the run's -> how many of the student's layers it has.
    """
    found = {}
    for layers in run.arguments.exits or ():
        folder = run.folder.exits / f"{layers}-layers"
        run.students.save(exit_of(run, best, layers), folder)
        found[folder.relative_to(run.folder.root).as_posix()] = layers
    return found


def exit_of(run: RunState, best: Path, layers: int) -> SentenceTransformer:
    """The first layers of a saved student, as a student."""
    return prune_layers(run.students.load(best), range(layers))


def measure_exits(run: RunState, best: Path, split: str) -> list[ServingEntry]:
    """Quality and speed of every exit by itself, queries and passages; the whole student's speed comes first.

    Args:
        run: That trained the student.
        best: The student's folder.
        split: The judged split.

    Returns:
        One entry per exit, and before them one for the student with all its layers; none where there are no exits.
    """
    if not run.arguments.exits:
        return []
    depth, whole = run.arguments.eval_depth, run.students.scorer(best, STUDENT)
    last = num_layers(whole.model)
    exits = {n: _scorer(run, best, n) for n in sorted(run.arguments.exits)}
    scorers = {f"{STUDENT}, {n} of {last} layers": scorer for n, scorer in ({last: whole} | exits).items()}
    speeds = queries_per_second(scorers.values(), run.collection, depth)
    entries = [measure_form(name, scorer, scorer, run.collection, split, depth) for name, scorer in scorers.items()]
    for entry in entries:
        entry["queries_per_second"] = speeds[entry["queries"]]
    for scorer in exits.values():
        run.students.forget(scorer.fingerprint)
    return entries


def _scorer(run: RunState, best: Path, layers: int) -> BiEncoderScorer:
    name, students = f"{STUDENT}-{layers}-layers", run.students
    return BiEncoderScorer(exit_of(run, best, layers), name=name, store=students.store, precision=students.precision)
