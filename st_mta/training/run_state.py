"""What the stages of a run share: its inputs, its students on disk, and how good everything is on dev."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.evaluation import BaseEvaluator
from torch import nn
from transformers import TrainerCallback

from st_mta.assistants.pool import AssistantPool
from st_mta.assistants.targets import AssistantTargets
from st_mta.backbones import can_pack
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.coverage import measures_if_known
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.word_level.loss import reads_layers
from st_mta.processes import processes
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.run.results import Evaluated, Measures, Promoted, Quality, RegressionTarget
from st_mta.scorers import EmbeddingScorer
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import FlatDocumentsCollator
from st_mta.training.regression import regression_embeddings
from st_mta.training.regression_target import load_target
from st_mta.training.regression_weights import mapped_before
from st_mta.training.settled import Settled
from st_mta.training.student_folders import StudentFolders
from st_mta.training.students import collator_inputs
from st_mta.types import Collection, IntArray, Scorer, Texts

MakeLoss = Callable[[SentenceTransformer, AssistantTargets, EmbeddingSpaces | None], nn.Module]
"""From the student, its targets, and the map of its regression where that is trained."""
MAIN_MEASURE = "ndcg@10"
PADDED_TOGETHER = 32
"""Texts of like length in one forward pass on a CPU, where they are padded: more are padded more."""
COLUMNS_ON_GPU = 4
"""Forward passes of a step's passages there, each of texts of like length: the fewest that leave little padding."""
REGRESSION_TARGET = "regression-target"
"""Name of the stage that chooses it."""
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
    recipe: str | None = None
    initial_scorers: list[Scorer] = field(init=False)

    def __post_init__(self) -> None:
        self.initial_scorers = list(self.pool.scorers)

    def measure(self, scorer: Scorer, split: str, first_stage: Scorer | None = None) -> Measures:
        """All measures of a scorer on a split; none where it has no scores for it."""
        depth = self.arguments.eval_depth
        found, measures = evaluate_scorer(scorer, self.collection, split, depth=depth, first_stage=first_stage)
        return measures_if_known(scorer, found, self.collection.qrels[split], split, measures)

    def retrievers(self, student: Scorer) -> list[Scorer]:
        """Those who bring the candidates: the student and the assistants that can search.

        A promoted student is left out: it is of the student's own lineage, which searches once.
        """
        searching = [scorer for scorer in self.pool.assistants if scorer.can_retrieve]
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

    def encode_student(self, student: EmbeddingScorer, queries: IntArray) -> None:
        """Has the texts encoded that stages read of a student, in the order and the batches of the first time.

        The stages that read embeddings begin with this, so that not even the last digit depends on whether they were
        deleted in between: the development queries and the corpus, as after the student's training, then ``queries``.
        """
        student.embed(self.collection.queries, "query", self.collection.queries_of("dev"))
        student.embed(self.collection.corpus, "document", np.arange(len(self.collection.corpus)))
        student.embed(self.collection.queries, "query", queries)

    def catch_up(self) -> None:
        """Takes note of what rank 0 has recorded, before all processes train."""
        if processes().leads:
            return
        self.journal.follow()
        self.pool = AssistantPool(self.initial_scorers[0], self.initial_scorers[1:])
        for iteration in range(self.arguments.num_iterations):
            folder = self.folder.iteration(iteration)
            name = f"{folder.name}/promote"
            if name in self.journal and (replaced := self.journal.result(name, Promoted).replaced) is not None:
                self.pool.replace(replaced, self.students.scorer(folder / STUDENT, folder.name))

    def embeddings_to_regress_to(self) -> dict[str, Embeddings]:
        """Those of the texts of an iteration, by column; none where there is no bi-encoder."""
        mapped = mapped_before(self.arguments.regression_to, self.arguments.regression_terms)
        target = self.regression_target(mapped=mapped) if self.settled.regression_weight else None
        return {} if target is None else regression_embeddings(target, self.collection)

    def make_collator(self, student: SentenceTransformer, loss: nn.Module) -> FlatDocumentsCollator:
        """The collator of an iteration, with embeddings to regress to where they have a weight."""
        targets = self.embeddings_to_regress_to()
        return listwise_collator(student, loss, self.arguments, self.settled.device, self.collection.corpus, targets)


def listwise_collator(
    student: SentenceTransformer,
    loss: nn.Module,
    arguments: MultiAssistantTrainingArguments,
    device: str,
    corpus: Texts,
    targets: dict[str, Embeddings],
) -> FlatDocumentsCollator:
    """Makes the batches of a listwise training.

    Args:
        student: The model to train.
        loss: By which it is trained; one that reads the student's layers needs padded texts.
        arguments: Of the run.
        device: The type of the device to train on, such as "cpu".
        corpus: The passages of the lists.
        targets: Column name -> the embeddings to regress to, as [`regression_embeddings`] gives them; may be empty.
    """
    per_forward = arguments.documents_per_forward
    packs = can_pack(student) and not reads_layers(loss) and not arguments.torch_compile
    if per_forward is None and device == "cpu" and not packs:
        per_forward = PADDED_TOGETHER
    return FlatDocumentsCollator(
        student.preprocess,
        **collator_inputs(student, arguments.router_mapping),
        corpus=corpus,
        documents_per_forward=per_forward,
        columns=1 if device == "cpu" else COLUMNS_ON_GPU,
        targets=targets,
    )
