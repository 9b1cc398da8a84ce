"""The last stages: everything on the test split, its speed, and the student in other forms of serving."""

from __future__ import annotations

from pathlib import Path

from st_mta.collections.windows import write_windows
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.coverage import measures_if_known
from st_mta.names import file_name
from st_mta.run.results import Quality, Scored, Served, Tested
from st_mta.training.exits import measure_exits
from st_mta.training.regression_map import in_the_targets_space
from st_mta.training.run_state import BEFORE, STUDENT, RunState
from st_mta.training.serving import measure_other_index, measure_serving
from st_mta.training.throughput import queries_per_second
from st_mta.trec import write_run
from st_mta.types import Scorer


def test(run: RunState, best: Path) -> Tested:
    """Everything on the test split (the development split where there is none), read once, at the end."""
    split = "test" if run.collection.qrels.get("test") else "dev"
    scorers = {scorer.name: scorer for scorer in _all_systems(run, best)}
    leader = scorers[run.journal.result("quality", Quality).first_stage]
    measured, qrels = {}, run.collection.qrels[split]
    for name, scorer in scorers.items():
        found, measures = evaluate_scorer(
            scorer, run.collection, split, depth=run.arguments.eval_depth, first_stage=leader
        )
        measured[name] = measures_if_known(scorer, found, qrels, split, measures)
        write_run(run.folder.runs / f"{file_name(name)}.trec", found, tag=file_name(name))
    return Tested(split, measured)


def speed(run: RunState, best: Path) -> dict[str, float | None]:
    """Queries per second of every scorer; re-rankers answer from the speed at which they scored."""
    known = dict(run.journal.result("quality", Quality).pairs_per_second)
    for iteration in range(run.arguments.num_iterations):
        if (name := f"{run.folder.iteration(iteration).name}/score") in run.journal:
            known |= run.journal.result(name, Scored).pairs_per_second
    if run.reranks and STUDENT not in known and BEFORE in known:
        known[STUDENT] = known[BEFORE]  # of one architecture; it was not timed where a scale was given
    return queries_per_second(_all_systems(run, best), run.collection, run.arguments.eval_depth, known)


def serve(run: RunState, best: Path) -> Served:
    """The student's quality with compressed passages, with those of models that share its space, and of its exits.

    Where documents are cut, the map from windows to documents is written for those who serve them.
    """
    if run.collection.windows is not None:
        write_windows(run.folder.windows, run.collection)
    split = run.journal.result("test", Tested).split
    if run.reranks:  # it stores no passages
        return Served([])
    student, target = run.students.scorer(best, STUDENT), run.regression_target()
    mapped = [] if target is None or target in run.initial_scorers else [target]
    depth = run.arguments.eval_depth
    forms = measure_serving(student, [*run.initial_scorers, *mapped], run.collection, split, depth)
    if target is not None and (led := in_the_targets_space(run, student, best)) is not student:
        forms += measure_other_index(led, target, run.collection, split, depth)
    return Served(forms + measure_exits(run, best, split))


def _all_systems(run: RunState, best: Path) -> list[Scorer]:
    students = [run.students.scorer(run.folder.student_before, BEFORE), run.students.scorer(best, STUDENT)]
    return [*run.initial_scorers, *students]
