"""The student replaces the worst assistant where it beats it on the development split, never on test."""

from __future__ import annotations

from pathlib import Path

from st_mta.run.results import Promoted
from st_mta.training.run_state import STUDENT, RunState


def promote_student(run: RunState, iteration: int, start_from: Path) -> Promoted:
    """Decides; [`apply_promotion`] does it, also when a run resumes."""
    quality = run.dev_quality()
    replaced = run.pool.replaceable(quality, quality[run.folder.iteration(iteration).name])
    return Promoted(replaced, run.pool.assistant_names)


def apply_promotion(run: RunState, iteration: int, replaced: str) -> None:
    """Puts the iteration's student in the place of an assistant."""
    folder = run.folder.iteration(iteration)
    run.pool.replace(replaced, run.students.scorer(folder / STUDENT, folder.name))
