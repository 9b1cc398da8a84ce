"""What the stages of a run share: its inputs, its students on disk, and how good everything is on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.backbones import can_pack
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.coverage import measures_if_known
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.scope import IN_BATCH
from st_mta.losses.word_level.loss import reads_layers
from st_mta.mining.copies import first_of_same
from st_mta.processes import processes
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.run.results import Evaluated, Measures, Promoted, Quality, RegressionTarget, Taught
from st_mta.scorers import EmbeddingScorer
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import FlatDocumentsCollator
from st_mta.training.in_batch import BatchTeacher, in_batch_teacher
from st_mta.training.regression import regression_embeddings
from st_mta.training.regression_target import load_target
from st_mta.training.regression_weights import mapped_before
from st_mta.training.reranker.collator import PairsCollator
from st_mta.training.reranker.prompts import prompt_of
from st_mta.training.settled import Settled
from st_mta.training.student_folders import StudentFolders
from st_mta.training.students import collator_inputs
from st_mta.types import Collection, IntArray, Scorer, Texts

MakeLoss = Callable[[Any, AssistantTargets, EmbeddingSpaces | None], nn.Module]
"""From the student, its targets, and the map of its regression where that is trained."""
MAIN_MEASURE = "ndcg@10"
PADDED_TOGETHER = 32
"""Texts of like length in one forward pass on a CPU, where they are padded: more are padded more."""
COLUMNS_ON_GPU = 4
"""Forward passes of a step's passages there, each of texts of like length: the fewest that leave little padding."""
REGRESSION_TARGET = "regression-target"
"""Name of the stage that chooses it."""
TEACH, TEACHER = "teach", "teacher"
"""Name of the stage in which the teacher learns, and the folder of what it becomes."""
BEFORE, WARM_UP, STUDENT = "student-before", "warm-up", "student"
"""Names of the untrained, the warmed-up and the trained student in runs and reports."""


@dataclass
class RunState:
    """A run between two stages.

    Attributes:
        arguments: The arguments of the run.
        settled: What they left open.
        collection: With a train and a dev split.
        pool: Teacher and assistants; the student may replace one of them on the way.
        students: The student as it came and its successors on disk.
        make_loss: Makes the loss of an iteration.
        folder: The output folder.
        journal: Finished stages.
        unlabelled: Further texts for the warm-up, or None.
        evaluator: The host's evaluator during training, or None.
        callbacks: The user's callbacks.
        unwanted_callbacks: Types of callbacks of the host that the user has removed.
        teachers: The teacher under training and its successors on disk; None where it stays as it is.
        teacher_so_far: Folder of the last one that was kept; None for the teacher as it came.
        recipe: Name of the recipe that the options come from, or None.
    """

    arguments: MultiAssistantTrainingArguments
    settled: Settled
    collection: Collection
    pool: AssistantPool
    students: StudentFolders
    make_loss: MakeLoss
    folder: RunFolder
    journal: Journal
    unlabelled: Texts | None = None
    evaluator: BaseEvaluator | None = None
    callbacks: Sequence[TrainerCallback] = ()
    unwanted_callbacks: Sequence[type[TrainerCallback]] = ()
    teachers: StudentFolders | None = None
    teacher_so_far: Path | None = None
    recipe: str | None = None
    initial_scorers: list[Scorer] = field(init=False)

    def __post_init__(self) -> None:
        self.initial_scorers = list(self.pool.scorers)

    def measure(self, scorer: Scorer, split: str, first_stage: Scorer | None = None) -> Measures:
        """All measures of a scorer on a split; none where it has no scores for it."""
        depth = self.arguments.eval_depth
        found, measures = evaluate_scorer(scorer, self.collection, split, depth=depth, first_stage=first_stage)
        return measures_if_known(scorer, found, self.collection.qrels[split], split, measures)

    @property
    def reranks(self) -> bool:
        """Whether the student is a cross-encoder, which only re-ranks what others find."""
        return self.students.reranks

    def first_stage(self) -> Scorer:
        """Whose passages are re-ranked by what cannot search: the best searcher on dev."""
        leader = self.journal.result("quality", Quality).first_stage
        if leader == BEFORE:
            return self.students.scorer(self.folder.student_before, BEFORE)
        return next(scorer for scorer in self.initial_scorers if scorer.name == leader)

    def retrievers(self, student: Scorer) -> list[Scorer]:
        """Those who bring the candidates: the student, a teacher that mines, and the assistants that can search.

        A promoted student is left out: it is of the student's own lineage, which searches once. For a student that
        only re-ranks they are those that it began with, also where it has replaced one; the teacher where no
        assistant can search.
        """
        if not student.can_retrieve:
            teacher, *assistants = self.initial_scorers
            return [scorer for scorer in assistants if scorer.can_retrieve] or [teacher]
        searching = [scorer for scorer in self.pool.scorers if scorer.can_retrieve]
        searching = searching if self.pool.teacher.mines else [s for s in searching if s is not self.pool.teacher]
        return [student, *(scorer for scorer in searching if scorer.name not in self.pool.promoted)]

    @property
    def hosted(self) -> dict[str, Any]:
        """Evaluator and callbacks of every training, as for [`train_with_checkpoints`]."""
        return {
            "evaluator": self.evaluator,
            "callbacks": self.callbacks,
            "unwanted_callbacks": self.unwanted_callbacks,
        }

    def dev_quality(self) -> dict[str, float]:
        """The main measure on the development split of everything in the pool, now or before, that was measured."""
        measured = self.journal.result("quality", Quality).dev
        quality = {name: measures[MAIN_MEASURE] for name, measures in measured.items() if measures}
        for iteration in range(self.arguments.num_iterations):
            name = self.folder.iteration(iteration).name
            if f"{name}/evaluate" in self.journal:
                quality[name] = self.journal.result(f"{name}/evaluate", Evaluated).dev[MAIN_MEASURE]
        return quality

    def regression_target(self, *, mapped: bool = True) -> EmbeddingScorer | None:
        """What the student's embeddings are regressed to, in its space or, for a loss with a map, as it is."""
        found = self.journal.result(REGRESSION_TARGET, RegressionTarget)
        if not found.bi_encoders:
            return None
        return load_target(found, self.initial_scorers, self.folder.root, mapped=mapped)

    def passage_embeddings(self, student: Path) -> Embeddings:
        """Those of the best bi-encoder in the pool on dev; the student's where there is none."""
        quality = self.dev_quality()
        found: list[EmbeddingScorer] = [
            scorer for scorer in self.initial_scorers if isinstance(scorer, EmbeddingScorer)
        ]
        found = found or [self.students.scorer(student, STUDENT)]
        best = max(found, key=lambda scorer: quality.get(scorer.name, 0.0))
        return best.embed(self.collection.corpus, "document", np.arange(len(self.collection.corpus)))

    def encode_student(self, student: Scorer, queries: IntArray) -> None:
        """Has the texts encoded that stages read of a bi-encoder, in the order and the batches of the first time.

        The stages that read embeddings begin with this, so that not even the last digit depends on whether they were
        deleted in between: the development queries and the corpus, as after the student's training, then ``queries``.
        """
        if not isinstance(student, EmbeddingScorer):
            return
        student.embed(self.collection.queries, "query", self.collection.queries_of("dev"))
        student.embed(self.collection.corpus, "document", np.arange(len(self.collection.corpus)))
        student.embed(self.collection.queries, "query", queries)

    def catch_up(self) -> None:
        """Takes note of what rank 0 has recorded, before all processes train."""
        if processes().leads:
            return
        self.journal.follow()
        self.pool = AssistantPool(self.initial_scorers[0], self.initial_scorers[1:])
        self.teacher_so_far = None
        for iteration in range(self.arguments.num_iterations):
            folder = self.folder.iteration(iteration)
            if (name := f"{folder.name}/{TEACH}") in self.journal:
                self.take_teacher(iteration, self.journal.result(name, Taught))
            name = f"{folder.name}/promote"
            if name in self.journal and (replaced := self.journal.result(name, Promoted).replaced) is not None:
                self.pool.replace(replaced, self.students.scorer(folder / STUDENT, folder.name))

    def take_teacher(self, iteration: int, taught: Taught) -> None:
        """Puts what the teacher has become in its place, where it was kept."""
        if taught.kept and self.teachers is not None:
            self.teacher_so_far = self.folder.iteration(iteration) / TEACHER
            self.pool.teacher = self.teachers.scorer(self.teacher_so_far, taught.teacher)

    def embeddings_to_regress_to(self) -> dict[str, Embeddings]:
        """Those of the texts of an iteration, by column; none where there is no bi-encoder."""
        mapped = mapped_before(self.arguments.regression_to, self.arguments.regression_terms)
        target = self.regression_target(mapped=mapped) if self.settled.regression_weight else None
        return {} if target is None else regression_embeddings(target, self.collection)

    def make_collator(self, student: Any, loss: nn.Module) -> FlatDocumentsCollator:
        """The collator of an iteration, with embeddings to regress to where they have a weight."""
        targets = self.embeddings_to_regress_to()
        collator = listwise_collator(
            student, loss, self.arguments, self.settled.device, self.collection.corpus, targets
        )
        collator.teacher = self.teacher_of_batches()
        collator.judged_as = None if self.collection.windows is None else first_of_same(self.collection)
        return collator

    def teacher_of_batches(self) -> BatchTeacher | None:
        """The teacher's scores of whole batches, where these are compared; its embeddings are stored first."""
        whole = self.arguments.candidates == IN_BATCH
        return in_batch_teacher(self.pool.teacher, self.collection) if whole else None


def listwise_collator(
    student: SentenceTransformer | CrossEncoder,
    loss: nn.Module,
    arguments: MultiAssistantTrainingArguments,
    device: str,
    corpus: Texts,
    targets: dict[str, Embeddings],
) -> FlatDocumentsCollator:
    """Makes the batches of a listwise training.

    Args:
        student: The model to train; a cross-encoder gets pairs.
        loss: By which it is trained; one that reads the student's layers needs padded texts.
        arguments: Of the run.
        device: The type of the device to train on, such as "cpu".
        corpus: The passages of the lists.
        targets: Column name -> the embeddings to regress to, as [`regression_embeddings`] gives them; may be empty.
    """
    per_forward = arguments.documents_per_forward or arguments.mini_batch_size
    packs = can_pack(student) and not reads_layers(loss) and not arguments.torch_compile
    if per_forward is None and device == "cpu" and not packs:
        per_forward = PADDED_TOGETHER
    columns: dict[str, Any] = {
        "corpus": corpus,
        "documents_per_forward": per_forward,
        "columns": 1 if device == "cpu" else COLUMNS_ON_GPU,
    }
    if isinstance(student, CrossEncoder):
        return PairsCollator(student.preprocess, prompt=prompt_of(student), **columns)
    inputs = collator_inputs(student, arguments.router_mapping)
    return FlatDocumentsCollator(student.preprocess, **inputs, **columns, targets=targets)
