"""The warm-up: embedding regression to the best bi-encoder, or to several, where there is one."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import partial

from st_mta.losses.embedding.spaces import TRAINED
from st_mta.processes import processes
from st_mta.run.results import Trained, WarmedUp
from st_mta.training.diverged import refuse_diverged
from st_mta.training.regression import regress_embeddings, trainable_columns, warm_up_arguments, warm_up_texts
from st_mta.training.regression_map import warm_up_loss
from st_mta.training.run_state import BEFORE, STUDENT, WARM_UP, RunState
from st_mta.training.settled import inner_arguments

logger = logging.getLogger(__name__)


def warm_up(run: RunState) -> WarmedUp:
    """Has trained on unlabelled text, by all processes, or says why it does not."""
    columns = [] if run.reranks else trainable_columns(run.students.original, run.arguments.router_mapping)
    target = run.regression_target()
    if (reason := _reason_to_skip(run, columns)) is not None or target is None:
        logger.info("No warm-up: %s.", reason)
        return WarmedUp(student=BEFORE, skipped=reason)
    if processes().size > 1:
        warm_up_texts(run.collection, run.unlabelled, target, run.arguments)  # encoded before every process reads them
    done = processes().together(WARM_UP, partial(warm_up_together, run))
    warmed = run.students.scorer(run.folder.warm_up / STUDENT, WARM_UP)
    return WarmedUp(
        **asdict(done),
        student=f"{run.folder.warm_up.name}/{STUDENT}",
        regressed_to=target.name,
        dev=run.measure(warmed, "dev"),
        fingerprint=warmed.fingerprint,
    )


def warm_up_together(run: RunState) -> Trained:
    """Trains on unlabelled text and keeps the student; every process does this at the same time."""
    run.catch_up()
    columns = trainable_columns(run.students.original, run.arguments.router_mapping)
    student = run.students.load(run.folder.student_before)
    how, folder = warm_up_loss(run, student), run.folder.warm_up
    given = run.regression_target(mapped=how.mapped)
    assert given is not None  # as `warm_up` has seen
    found = warm_up_texts(run.collection, run.unlabelled, given, run.arguments)
    done = regress_embeddings(
        student,
        texts=found.texts,
        positions={column: found.positions[column] for column in columns},
        targets=found.targets,
        arguments=inner_arguments(
            run.arguments, run.settled, folder / "checkpoints", **warm_up_arguments(run.arguments)
        ),
        loss=how.loss,
        **{**run.hosted, "callbacks": [*run.callbacks, *how.callbacks]},
    )
    refuse_diverged(student, "the warm-up", run.arguments.regression_learning_rate, done.loss)
    if processes().leads:
        run.students.save(student, folder / STUDENT)
        if how.loss is not None and how.loss.map.kind in TRAINED:
            how.loss.save_map(folder)
    return done


def _reason_to_skip(run: RunState, columns: list[str]) -> str | None:
    if run.reranks:
        return "a cross-encoder has no embeddings to regress"
    if run.arguments.regression_epochs == 0:
        return "regression_epochs is 0"
    if not columns:
        return "no weight that the student's embeddings depend on is trainable"
    if run.regression_target() is None:
        return "there is no bi-encoder among teacher and assistants" + _of_the_width(run)
    return None


def _of_the_width(run: RunState) -> str:
    if run.arguments.regression_map != "none":
        return ""
    return f" that has the student's {run.students.original.get_embedding_dimension()} dimensions"
