"""Draws an iteration's queries and mines their candidates."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from st_mta.atomic import atomic_path
from st_mta.mining import mine, positive_ranks, save_candidates, searched_depth
from st_mta.run.results import Mined
from st_mta.training.curriculum import count_hard, draw_queries, training_positives, training_queries
from st_mta.training.reranker.ranks import ranks_in_lists
from st_mta.training.run_state import STUDENT, RunState
from st_mta.types import IntArray, Qrels, Retrieved, Scorer


def mine_candidates(run: RunState, iteration: int, start_from: Path) -> Mined:
    """The union of what the student and the retrieving assistants find, positives first; of a teacher whose scores are
    given, what it has scored.
    """
    folder, arguments = run.folder.iteration(iteration), run.arguments
    student = run.students.scorer(start_from, STUDENT)
    available = training_queries(run.collection)
    positives = training_positives(run.collection, run.folder, iteration)
    harder = iteration > 0 and arguments.curriculum != "none"
    if iteration:
        run.encode_student(student, available)
    ranks = _student_ranks(run, student, available, positives) if harder else None
    sample, hard = draw_queries(available, ranks, arguments, iteration)
    drawn = np.union1d(sample, hard)
    if not iteration:
        run.encode_student(student, drawn)
    mined = mine(
        run.collection,
        drawn,
        run.retrievers(student),
        positives,
        num_candidates=run.settled.num_candidates,
        range_min=arguments.range_min,
        depth=arguments.range_max,
        sampling_strategy=arguments.sampling_strategy,
        seed=arguments.seed + iteration,
        listing=run.pool.teacher,
    )
    save_candidates(folder / "candidates.parquet", mined)
    with atomic_path(folder / "queries.npz") as temporary, open(temporary, "wb") as file:
        np.savez(file, sample=sample, hard=hard)
    return Mined(len(sample), count_hard(sample, hard, available, ranks), len(mined.passages))


def _student_ranks(run: RunState, student: Scorer, available: IntArray, positives: Qrels) -> IntArray:
    """At which rank the student finds the first positive of every training query; 0 where it does not."""
    if not student.can_retrieve:
        return ranks_in_lists(
            student, run.collection, available, run.retrievers(student), positives, run.settled.num_candidates
        )
    # One more than asked for, since the query's own passage may be dropped.
    depth = min(run.arguments.eval_depth + 1, len(run.collection.corpus))
    deepest = max(depth, _mined_depth(run, available, positives))
    found = student.retrieve(run.collection.queries, run.collection.corpus, available, deepest)
    looked_at = Retrieved(found.queries, found.passages[:, :depth], found.scores[:, :depth])
    return positive_ranks(looked_at, run.collection, positives)


def _mined_depth(run: RunState, available: IntArray, positives: Qrels) -> int:
    """How deep the queries are about to be mined, so that one search does for both; 0 where few of them are."""
    size = run.arguments.queries_per_iteration
    if size is not None and size < len(available):
        return 0
    return searched_depth(run.collection, available, positives, run.arguments.range_max)
