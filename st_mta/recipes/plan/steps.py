"""How long a step of a run's trainings takes, from a few steps of the very same kind."""

from __future__ import annotations

import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import TrainerCallback

from st_mta.losses.scope import IN_BATCH
from st_mta.recipes.plan.rates import random_rows
from st_mta.scored import ScoredCandidates
from st_mta.scorers import EmbeddingScorer
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.distillation import Distillation
from st_mta.training.in_batch import BatchTeacher, TeacherEmbeddings
from st_mta.training.regression import regress_embeddings, warm_up_arguments
from st_mta.training.run_state import listwise_collator
from st_mta.training.settled import inner_arguments
from st_mta.training.stages.train import make_targets
from st_mta.training.student_folders import copied
from st_mta.training.students import DOCUMENTS
from st_mta.types import Candidates, FloatArray, IntArray, offsets_of

STEPS = 4
"""Steps that are measured; the first one counts for nothing."""
TEXTS_AT_MOST = 64
"""Texts of such a step, so that long ones take seconds on a CPU; a larger one takes as much longer."""


class StepTimer(TrainerCallback):  # type: ignore[misc]
    """Seconds from the beginning of a step to the end of it, batches included."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *given: Any, **named: Any) -> None:
        """Notes the time."""
        self.ends.append(time.perf_counter())

    def training(self, seconds: float, factor: float = 1.0) -> Training:
        """What was measured.

        Args:
            seconds: Of the whole training.
            factor: How many times as much a step of the run computes.
        """
        step = float(np.median(np.diff(self.ends))) if len(self.ends) > 1 else 0.0
        return Training(step * factor, max(0.0, seconds - len(self.ends) * step))


class Training(NamedTuple):
    """Seconds of a step, and those that a training takes beside its steps."""

    step: float
    beside: float

    def seconds(self, steps: float) -> float:
        """Of a whole training."""
        return self.beside + steps * self.step if steps else 0.0


@dataclass(frozen=True)
class RandomRows:
    """Embeddings of a width at random, in the place of those that are not computed yet."""

    dimension: int

    def rows(self, positions: IntArray) -> FloatArray:
        """(n, D) rows of length one."""
        return random_rows(len(positions), self.dimension)


def training_on_lists(run: Distillation, per_query: int) -> Training:
    """How long an iteration's training takes.

    Args:
        run: Prepared.
        per_query: Passages of a query.
    """
    batch = run.arguments.per_device_train_batch_size
    rows = max(1, min(batch, TEXTS_AT_MOST // (per_query + 1)))
    student = copied(run.students.original)
    targets = make_targets(run.pool, run.arguments)
    timer, began = StepTimer(), time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="st_mta-") as folder:
        loss = run.make_loss(student, targets, None)
        columns = ("query", DOCUMENTS) if run.settled.regression_weight else ()
        regressed: Any = {column: RandomRows(_width(run)) for column in columns}
        collator = listwise_collator(
            student, loss, run.arguments, run.settled.device, run.collection.corpus, regressed
        )
        collator.teacher = _teacher_of_batches(run)
        train_with_checkpoints(
            student,
            _few_steps(run, folder, per_device_train_batch_size=rows),
            listwise_dataset(_made_up_lists(run, rows * STEPS, per_query), run.collection.queries),
            collator,
            loss,
            targets=targets,
            callbacks=[timer],
        )
    return timer.training(time.perf_counter() - began, batch / rows)


def training_on_embeddings(run: Distillation) -> Training:
    """How long the warm-up takes."""
    student, timer, random = copied(run.students.original), StepTimer(), np.random.default_rng(0)
    corpus = run.collection.corpus if run.unlabelled is None else run.unlabelled
    how = warm_up_arguments(run.arguments)
    count = STEPS * how["per_device_train_batch_size"]
    rows: Any = RandomRows(_width(run))
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="st_mta-") as folder:
        regress_embeddings(
            student,
            texts={DOCUMENTS: corpus},
            positions={DOCUMENTS: random.integers(0, len(corpus), count)},
            targets={DOCUMENTS: rows},
            arguments=_few_steps(run, folder, **how),
            callbacks=[timer],
        )
    return timer.training(time.perf_counter() - began)


def _width(run: Distillation) -> int:
    """Of a bi-encoder as student."""
    return int(run.students.original.get_embedding_dimension() or 0)


def _teacher_of_batches(run: Distillation) -> BatchTeacher | None:
    """As the run's, with embeddings at random where they would have to be computed first."""
    teacher = run.pool.teacher
    if run.arguments.candidates != IN_BATCH or not isinstance(teacher, EmbeddingScorer):
        return run.teacher_of_batches()
    rows: Any = RandomRows(teacher.dimension)
    return TeacherEmbeddings(rows, rows)


def _few_steps(run: Distillation, folder: str, **changes: Any) -> Any:
    """The arguments of a training of a few steps that leaves nothing behind."""
    few = {
        "max_steps": STEPS,
        "gradient_accumulation_steps": 1,
        "save_strategy": "no",
        "eval_strategy": "no",
        "load_best_model_at_end": False,
        "report_to": "none",
        "disable_tqdm": True,
    }
    return inner_arguments(run.arguments, run.settled, Path(folder) / "checkpoints", **{**changes, **few})


def _made_up_lists(run: Distillation, rows: int, per_query: int) -> ScoredCandidates:
    """Lists of passages at random with scores at random, the first of each its positive."""
    random, size = np.random.default_rng(0), len(run.collection.corpus)
    per_query = min(per_query, size)
    queries = random.permutation(np.resize(np.arange(len(run.collection.queries)), rows))
    passages = np.concatenate([random.choice(size, per_query, replace=False) for _ in range(rows)])
    positive = np.arange(rows * per_query) % per_query == 0
    lists = Candidates(
        queries, offsets_of(np.full(rows, per_query)), passages, positive, np.zeros_like(passages), ("qrels",)
    )
    scores = random.standard_normal((len(run.pool.scorers), rows * per_query)).astype(np.float32)
    return ScoredCandidates(lists, scores, tuple(scorer.name for scorer in run.pool.scorers))


def steps_of(rows: int, batch: int, accumulation: int, epochs: float, max_steps: int = -1) -> int:
    """Steps of the host's trainer for so many rows."""
    if max_steps > 0:
        return max_steps
    each = max(1, math.ceil(rows / batch) // accumulation) if rows else 0
    return math.ceil(each * epochs)


def saved_bytes(student: SentenceTransformer | CrossEncoder) -> int:
    """Of a student's folder, without its card."""
    with tempfile.TemporaryDirectory(prefix="st_mta-") as folder:
        student.save_pretrained(folder, create_model_card=False)
        return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())


def weights_of(student: SentenceTransformer | CrossEncoder) -> int:
    """Number of weights."""
    return sum(weight.numel() for weight in student.parameters())
