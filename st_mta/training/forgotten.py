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
from st_mta.run.results import Evaluated, Kept, WarmedUp
from st_mta.training.run_state import BEFORE, WARM_UP, RunState


def forget_losers(run: RunState, best: BestSoFar) -> None:
    """Deletes what is not needed after the iterations done, also where a run was killed before it came to that."""
    known = _fingerprints(run, best.done)
    kept = {known.get(name, "") for name in (BEFORE, best.kept, *_promoted(run))}
    if "" not in kept:  # a version before this one did not note them
        _forget(run, set(known.values()) - kept)


def forget_all(run: RunState, best: BestSoFar) -> None:
    """Deletes everything, once the run is finished."""
    _forget(run, set(_fingerprints(run, best.done).values()))


def _forget(run: RunState, fingerprints: set[str]) -> None:
    for fingerprint in sorted(fingerprints - {""}):
        run.students.forget(fingerprint)


def _promoted(run: RunState) -> list[str]:
    return [name for name in run.pool.assistant_names if name in run.pool.promoted]


def _fingerprints(run: RunState, iterations: int) -> dict[str, str]:
    """By the name of the student; two of them may be the same model."""
    found = {
        BEFORE: run.journal.result(BEFORE, Kept).fingerprint,
        WARM_UP: run.journal.result(WARM_UP, WarmedUp).fingerprint,
    }
    for iteration in range(iterations):
        name = run.folder.iteration(iteration).name
        found[name] = run.journal.result(f"{name}/evaluate", Evaluated).fingerprint
    return found
