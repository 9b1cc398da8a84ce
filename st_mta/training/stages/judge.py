"""The teacher judges the development queries that came without judgements."""

from __future__ import annotations

from dataclasses import replace

from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator
from st_mta.run.results import Judged
from st_mta.training.judgements import judge_by_teacher, unjudged
from st_mta.training.run_state import BEFORE, RunState
from st_mta.trec import read_qrels, write_qrels


def judge(run: RunState) -> Judged:
    """Writes the teacher's judgements of the queries without any."""
    student = run.students.scorer(run.folder.student_before, BEFORE)
    queries, depth = unjudged(run.collection, "dev"), run.arguments.eval_depth
    qrels = judge_by_teacher(run.collection, queries, run.pool.teacher, run.retrievers(student), depth)
    if not qrels and not any(run.collection.qrels["dev"].values()):
        raise InputError(
            expected="development queries that are judged, or that the teacher has scores for",
            got=f"{len(queries)} queries without judgements, of which {run.pool.teacher.name!r} knows no passage",
            consequence="there would be nothing to choose the best student by",
            remedy="give judgements of a dev split, or scores that cover these queries",
        )
    write_qrels(run.folder.judgements, qrels)
    return Judged(len(qrels))


def take_judgements(run: RunState) -> None:
    """The collection, and the evaluator over it, with the teacher's judgements; queries without one go."""
    before, judged = run.collection, read_qrels(run.folder.judgements)
    dev = {query_id: own or judged.get(query_id, {}) for query_id, own in before.qrels["dev"].items()}
    dev = {query_id: grades for query_id, grades in dev.items() if grades}
    run.collection = replace(before, qrels={**before.qrels, "dev": dev})
    if isinstance(run.evaluator, CollectionEvaluator) and run.evaluator.collection is before:
        run.evaluator = run.evaluator.over(run.collection)
