"""What the stations of a run share: its inputs, its students on disk, and how good everything is on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.evaluation import evaluate_scorer
from st_mta.mining import positive_ranks
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.scorers import BiEncoderScorer
from st_mta.stores import Store
from st_mta.stores.embeddings import Embeddings
from st_mta.training import stations
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.dev_weights import fit_dev_weights
from st_mta.training.regression import regression_embeddings, regression_target
from st_mta.training.teacher_check import weight_of_teacher
from st_mta.types import Collection, IntArray, Qrels, Retrieved, Scorer

LossFactory = Callable[[SentenceTransformer, AssistantTargets], nn.Module]
MAIN_MEASURE = "ndcg@10"
BEFORE, STUDENT = "student-before", "student"
"""Names of the untrained and the trained student in runs and reports."""


@dataclass
class RunState:
    """A run between two stations.

    Attributes:
        arguments: The arguments of the run.
        collection: With a train and a dev split.
        pool: Teacher and assistants; the student may replace one of them on the way.
        student: The student as it came; stations reload it from disk and leave this object alone.
        make_loss: Makes the loss of an iteration.
        folder: The output folder.
        journal: Finished stations.
        evaluator: The host's evaluator during training, or None.
        callbacks: The user's callbacks.
    """

    arguments: MultiAssistantTrainingArguments
    collection: Collection
    pool: AssistantPool
    student: SentenceTransformer
    make_loss: LossFactory
    folder: RunFolder
    journal: Journal
    evaluator: BaseEvaluator | None = None
    callbacks: Sequence[TrainerCallback] = ()
    initial_scorers: list[Scorer] = field(init=False)
    student_store: Store = field(init=False)

    def __post_init__(self) -> None:
        self.initial_scorers = list(self.pool.scorers)
        # Students' weights occur in no other run, so their embeddings stay with the run.
        self.student_store = Store(self.folder.root / "student-embeddings")

    def student_scorer(self, folder: Path, name: str) -> BiEncoderScorer:
        """A student from disk as a frozen scorer."""
        student = self.load_student(folder)
        return BiEncoderScorer(student, name=name, store=self.student_store, precision=self.arguments.precision)

    def load_student(self, folder: Path) -> SentenceTransformer:
        """A fresh student from disk."""
        return stations.load_student(folder, self.arguments.max_length, str(self.arguments.device))

    def measure(self, scorer: Scorer, split: str, first_stage: Retrieved | None = None) -> dict[str, float]:
        """All measures of a scorer on a split."""
        depth = self.arguments.eval_depth
        return evaluate_scorer(scorer, self.collection, split, depth=depth, first_stage=first_stage)[1]

    def retrieve(self, scorer: Scorer, queries: IntArray) -> Retrieved:
        """The scorer's best passages at evaluation depth, and one more: the query's own passage may be dropped."""
        depth = min(self.arguments.eval_depth + 1, len(self.collection.corpus))
        return scorer.retrieve(self.collection.queries, self.collection.corpus, queries, depth)

    def dev_quality(self) -> dict[str, float]:
        """The main measure on the development split of everything that was or is in the pool."""
        quality = {name: measures[MAIN_MEASURE] for name, measures in self.journal.result("quality")["dev"].items()}
        for iteration in range(self.arguments.num_iterations):
            station = f"{self.folder.iteration(iteration).name}/evaluate"
            if station in self.journal:
                quality[self.folder.iteration(iteration).name] = self.journal.result(station)["dev"][MAIN_MEASURE]
        return quality

    def alpha(self) -> float:
        """Weight of the teacher beside the selected assistant."""
        if self.arguments.alpha is not None:
            return self.arguments.alpha
        teacher, *assistants = (scorer.name for scorer in self.initial_scorers)
        return weight_of_teacher(teacher, assistants, self.dev_quality())

    def regression_target(self) -> BiEncoderScorer | None:
        """The bi-encoder to whose embeddings the student's are regressed, in the warm-up and in every iteration."""
        return regression_target(self.initial_scorers, self.student, self.dev_quality())

    def embeddings_to_regress_to(self) -> dict[str, Embeddings]:
        """Those of every iteration; none without a weight."""
        target = self.regression_target() if self.arguments.regression_weight else None
        return {} if target is None else regression_embeddings(target, self.collection)

    def passage_embeddings(self, student: Path) -> Embeddings:
        """Those of the best bi-encoder in the pool on dev; the student's where there is none."""
        quality = self.dev_quality()
        found = [scorer for scorer in self.initial_scorers if isinstance(scorer, BiEncoderScorer)]
        found = found or [self.student_scorer(student, STUDENT)]
        best = max(found, key=lambda scorer: quality.get(scorer.name, 0.0))
        return best.embed(self.collection.corpus, "document", np.arange(len(self.collection.corpus)))

    def fusion_weights(self, student: Path, temperatures: list[float]) -> list[float] | None:
        """The assistants' weights, where the fusion has any."""
        if self.arguments.fusion != "weighted":
            return None
        if not self.pool.assistants:
            return []
        retrievers = stations.retrievers(self.student_scorer(student, STUDENT), self.pool)
        return fit_dev_weights(self.collection, retrievers, self.pool.assistants, temperatures, self.arguments)

    def student_ranks(self, student: Scorer, available: IntArray, positives: Qrels) -> IntArray:
        """At which rank the student finds the first positive of every training query; 0 where it does not."""
        return positive_ranks(self.retrieve(student, available), self.collection, positives)
