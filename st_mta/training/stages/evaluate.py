"""The student on the development split, after every iteration."""

from __future__ import annotations

from pathlib import Path

from st_mta.evaluation import evaluate_scorer
from st_mta.run.results import Evaluated
from st_mta.training.run_state import STUDENT, RunState
from st_mta.trec import write_run


def evaluate_student(run: RunState, iteration: int, start_from: Path) -> Evaluated:
    """Measures the iteration's student and writes its run file."""
    folder = run.folder.iteration(iteration)
    student = run.students.scorer(folder / STUDENT, STUDENT)
    first_stage = None if student.can_retrieve else run.first_stage()
    found, dev = evaluate_scorer(
        student, run.collection, "dev", depth=run.arguments.eval_depth, first_stage=first_stage
    )
    write_run(folder / "dev.trec", found, tag=folder.name)
    return Evaluated(dev, student.fingerprint)
