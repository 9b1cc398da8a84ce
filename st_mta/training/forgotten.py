"""Which students' embeddings and searches a run still needs; those of all others are deleted.

A corpus's embeddings take far more space than a student, and every iteration makes new ones. After an iteration these
are read again:

- those of the best student so far: the next iteration mines with it and fits the scale to it, and it may be delivered;
- those of promoted students, as long as they are in the pool: every iteration scores its candidates by them;
- those of the student as it came: it is measured beside the best on the test split.

A student that loses, or is replaced in the pool and not the best, never comes back. A finished run needs none: reports
are written from its results and run files. A stage that has to be repeated later, because its files were damaged,
encodes again what it needs, in the same batches (see [`RunState.encode_student`]).
"""

from __future__ import annotations

from st_mta.run.best import BestSoFar
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.run.results import Evaluated, Kept, Promoted, Quality, Taught, WarmedUp
from st_mta.training.run_state import BEFORE, MAIN_MEASURE, TEACH, WARM_UP, RunState


def forget_losers(run: RunState, best: BestSoFar) -> None:
    """Deletes what is not needed after the iterations done, also where a run was killed before it came to that."""
    known = _fingerprints(run.journal, run.folder, best.done)
    _forget(run, _not_needed(known, {BEFORE, best.kept, *_promoted(run)}))


def forget_all(run: RunState, best: BestSoFar) -> None:
    """Deletes everything, once the run is finished; of teachers that have learned, their scores."""
    names = [f"{run.folder.iteration(iteration).name}/{TEACH}" for iteration in range(best.done)]
    learned = {run.journal.result(name, Taught).fingerprint for name in names if name in run.journal}
    _forget(run, learned | set(_fingerprints(run.journal, run.folder, best.done).values()))


def lost_students(folder: RunFolder) -> dict[str, str]:
    """Fingerprint -> name of the students that a run on disk does not need, by its journal.

    In a finished run these are all but the one that it delivered.

    Raises:
        InputError: If there is no run in the folder, or its journal cannot be read.
    """
    journal = Journal.of(folder.journal)
    if WARM_UP not in journal:  # until then there is one student, and nothing to lose to
        return {}
    best = BestSoFar(journal.result("quality", Quality).dev[BEFORE][MAIN_MEASURE], folder.student_before, BEFORE)
    if (dev := journal.result(WARM_UP, WarmedUp).dev) is not None:
        best.take(dev[MAIN_MEASURE], folder.warm_up, WARM_UP)
    promoted: set[str] = set()
    while f"{(name := folder.iteration(best.done).name)}/promote" in journal:
        dev = journal.result(f"{name}/evaluate", Evaluated).dev
        best.take_iteration(dev[MAIN_MEASURE], folder.iteration(best.done), name)
        if (replaced := journal.result(f"{name}/promote", Promoted).replaced) is not None:
            promoted = {name, *promoted} - {replaced}
    known = _fingerprints(journal, folder, best.done)
    lost = _not_needed(known, {best.kept} if "serving" in journal else {BEFORE, best.kept, *promoted})
    return {fingerprint: name for name, fingerprint in known.items() if fingerprint in lost - {""}}


def _forget(run: RunState, fingerprints: set[str]) -> None:
    for fingerprint in sorted(fingerprints - {""}):
        run.students.forget(fingerprint)


def _not_needed(known: dict[str, str], names: set[str]) -> set[str]:
    """The fingerprints of the others; none where a version before this one did not note all of them."""
    kept = {known.get(name, "") for name in names}
    return set() if "" in kept else set(known.values()) - kept


def _promoted(run: RunState) -> list[str]:
    return [name for name in run.pool.assistant_names if name in run.pool.promoted]


def _fingerprints(journal: Journal, folder: RunFolder, iterations: int) -> dict[str, str]:
    """By the name of the student; two of them may be the same model."""
    found = {
        BEFORE: journal.result(BEFORE, Kept).fingerprint,
        WARM_UP: journal.result(WARM_UP, WarmedUp).fingerprint,
    }
    for iteration in range(iterations):
        name = folder.iteration(iteration).name
        found[name] = journal.result(f"{name}/evaluate", Evaluated).fingerprint
    return found
