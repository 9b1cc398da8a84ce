"""The teacher learns too: from the student's distributions over the lists mined anew, and from the judgements."""

from __future__ import annotations

import logging
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
from transformers import set_seed

from st_mta.assistants.calibration import fit_temperature
from st_mta.losses.reranker import ListwiseRerankerLoss
from st_mta.mining import in_corpus_order, load_candidates, load_scored, save_scored
from st_mta.processes import processes
from st_mta.run.results import Quality, Taught, Trained
from st_mta.scored import score_all
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.diverged import refuse_diverged
from st_mta.training.reranker.teaching import LEARNING_RATE
from st_mta.training.run_state import MAIN_MEASURE, STUDENT, TEACH, TEACHER, RunState, listwise_collator
from st_mta.training.settled import inner_arguments
from st_mta.training.stages.score import calibration_rows

logger = logging.getLogger(__name__)

LISTS = "teaching"
"""Folder of what it is trained on, its checkpoints and its log, in that of the iteration."""


def teach_teacher(run: RunState, iteration: int, start_from: Path) -> Taught:
    """Trains the teacher on the iteration's candidates; what it becomes is kept where it is not worse on dev.

    The dynamic listwise distillation of RocketQAv2 (Ren et al., EMNLP 2021, https://arxiv.org/abs/2110.07367,
    Eqs. 6 to 8), in which both models learn from each other: KL(p_student || p_teacher) over a list, and the cross
    entropy of the teacher with the judgements. Deviations: the two take turns, iteration by iteration, instead of
    step by step; both distributions are brought to one mean entropy first; cross entropy is that of each positive
    against the negatives; a teacher that is worse on dev afterwards is not taken.
    """
    assert run.teachers is not None
    folder = run.folder.iteration(iteration)
    lists = in_corpus_order(load_candidates(folder / "candidates.parquet"))
    lists = lists.select(np.flatnonzero(lists.lengths >= 2))
    scored = score_all(run.collection, lists, [run.students.scorer(start_from, STUDENT)])
    save_scored(folder / LISTS, scored)
    sample = scored.select(calibration_rows(scored))
    own = score_all(run.collection, sample.candidates, [run.pool.teacher])
    temperatures = []
    for one in (sample, own):
        scores, mask, _ = one.dense()
        temperatures.append(fit_temperature(scores[:, 0], mask, run.arguments.target_entropy, one.scorers[0]))
    done = processes().together(TEACH, partial(teach_together, run), iteration, *temperatures)
    name = f"{run.initial_scorers[0].name}, {folder.name}"
    learned = run.teachers.scorer(folder / TEACHER, name)
    dev, before = run.measure(learned, "dev", run.first_stage()), _quality_so_far(run, iteration)
    kept = dev[MAIN_MEASURE] >= before
    logger.info(
        "The teacher has learned from the student: nDCG@10 on dev %.3f, before %.3f%s.",
        dev[MAIN_MEASURE],
        before,
        "" if kept else "; it stays as it was",
    )
    return Taught(**asdict(done), teacher=name, kept=kept, dev=dev, fingerprint=learned.fingerprint)


def teach_together(run: RunState, iteration: int, of_student: float, of_teacher: float) -> Trained:
    """Trains the teacher and keeps it; every process does this at the same time.

    Args:
        run: After its candidates were mined.
        iteration: Counted from 0.
        of_student: Temperature of the student's scores.
        of_teacher: Of the teacher's.
    """
    run.catch_up()
    assert run.teachers is not None
    folder, scored = run.folder.iteration(iteration), load_scored(run.folder.iteration(iteration) / LISTS)
    teacher = run.teachers.load(run.teacher_so_far) if run.teacher_so_far else run.teachers.fresh()
    seed = run.arguments.seed + iteration
    set_seed(seed)
    loss = ListwiseRerankerLoss(
        teacher,
        scale=1 / of_teacher,
        teacher_temperature=of_student,
        contrastive_weight=1.0,
        return_components=True,
    )
    rate = run.arguments.teacher_learning_rate or LEARNING_RATE
    arguments = inner_arguments(
        run.arguments, run.settled, folder / LISTS / "checkpoints", seed=seed, learning_rate=rate, eval_strategy="no",
        load_best_model_at_end=False,
    )  # fmt: skip
    collator = listwise_collator(teacher, loss, run.arguments, run.settled.device, run.collection.corpus, {})
    done = train_with_checkpoints(
        teacher, arguments, listwise_dataset(scored, run.collection.queries), collator, loss,
        unwanted_callbacks=run.unwanted_callbacks,
    )  # fmt: skip
    refuse_diverged(teacher, f"the training of the teacher in {folder.name}", rate, done.loss)
    if processes().leads:
        run.teachers.save(teacher, folder / TEACHER)
    return replace(done, selected={}, selected_over_steps=None)


def _quality_so_far(run: RunState, iteration: int) -> float:
    """The main measure on dev of the teacher in its place; below every measure where it was not measured."""
    measured = run.journal.result("quality", Quality).dev.get(run.initial_scorers[0].name, {})
    best = measured.get(MAIN_MEASURE, -1.0)
    for earlier in range(1, iteration):
        taught = run.journal.result(f"{run.folder.iteration(earlier).name}/{TEACH}", Taught)
        best = taught.dev[MAIN_MEASURE] if taught.kept else best
    return best
