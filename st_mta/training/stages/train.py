"""One training with a fresh optimiser and schedule, from the best student so far."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from transformers import set_seed

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.losses import set_filter_iteration
from st_mta.losses.embedding.spaces import TRAINED
from st_mta.mining import load_scored
from st_mta.processes import processes
from st_mta.run.results import Scored, Trained
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import alpha_schedule, train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.diverged import refuse_diverged
from st_mta.training.regression_map import map_of_lists
from st_mta.training.run_state import STUDENT, RunState
from st_mta.training.settled import inner_arguments
from st_mta.training.sharing import order_of_batches

TRAIN = "train"
"""Name of the training among what all processes do together."""


def train_student(run: RunState, iteration: int, start_from: Path) -> Trained:
    """Has trained on the iteration's lists, by all processes."""
    if processes().size > 1:
        run.embeddings_to_regress_to()  # encoded before every process reads them
        run.teacher_of_batches()
    return processes().together(TRAIN, partial(train_together, run), iteration, start_from)


def train_together(run: RunState, iteration: int, start_from: Path) -> Trained:
    """Trains on the iteration's lists and keeps the student; every process does this at the same time."""
    run.catch_up()
    folder = run.folder.iteration(iteration)
    student = run.students.load(start_from)
    scored = load_scored(folder)
    with np.load(folder / "queries.npz") as drawn:
        rows = scored.candidates.rows_of(np.concatenate([drawn["sample"], drawn["hard"]]))
    fitted = run.journal.result(f"{folder.name}/score", Scored)
    targets = make_targets(run.pool, run.arguments, fitted)
    seed = run.arguments.seed + iteration
    set_seed(seed)  # for weights that a loss has of its own
    spaces = map_of_lists(run, start_from, fitted)
    loss = run.make_loss(student, targets, spaces if run.settled.regression_weight else None)
    set_filter_iteration(loss, iteration)
    done = train_with_checkpoints(
        student,
        inner_arguments(
            run.arguments, run.settled, folder / "checkpoints", seed=seed, **order_of_batches(run.arguments)
        ),
        listwise_dataset(scored.select(rows), run.collection.queries),
        run.make_collator(student, loss),
        loss,
        targets=targets,
        schedule=alpha_schedule(loss, run.arguments, iteration),
        **run.hosted,
    )
    refuse_diverged(student, f"the training of {folder.name}", run.arguments.learning_rate, done.loss)
    if processes().leads:
        run.students.save(student, folder / STUDENT)
        if spaces is not None and spaces.kind in TRAINED:
            spaces.save(folder)
    alpha = getattr(loss, "alpha", None)  # a loss of the user's own may have none, or mean something else by it
    return replace(done, alpha=float(alpha) if isinstance(alpha, (int, float)) else None)


def make_targets(
    pool: AssistantPool, arguments: MultiAssistantTrainingArguments, fitted: Scored | None = None
) -> AssistantTargets:
    """The calibration, fusion and selection that the arguments ask for.

    Args:
        pool: Whose scores they will be given.
        arguments: Name the rules.
        fitted: Temperatures, weights, alpha and scale; None before anything has been scored, to see whether the
            options go together.
    """
    count = len(pool.assistants)
    return AssistantTargets(
        pool.assistant_names,
        fitted.temperatures if fitted else [1.0] * (count + 1),
        fusion=arguments.fusion,
        combinations=arguments.combinations,
        selection=arguments.selection,
        select_per=arguments.select_per,
        calibration=arguments.calibration,
        weights=fitted.weights if fitted else [1.0] * count if arguments.fusion == "weighted" else None,
        alpha=fitted.alpha if fitted else 1.0,
        student_scale=fitted.student_scale if fitted else None,
        seed=arguments.seed,
    )
