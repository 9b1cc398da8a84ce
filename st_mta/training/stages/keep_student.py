"""Keeps the student as it came, and checks that it survives being saved."""

from __future__ import annotations

from st_mta.run.results import Kept
from st_mta.training.run_state import BEFORE, RunState


def keep_student(run: RunState) -> Kept:
    """Writes ``student-before``.

    Raises:
        InputError: If the host loads another model than it saved.
    """
    run.students.save(run.students.original, run.folder.student_before)
    run.students.refuse_lossy(run.folder.student_before)
    return Kept(run.students.scorer(run.folder.student_before, BEFORE).fingerprint)
