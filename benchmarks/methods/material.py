"""What all words share: one teacher, its assistants, one warmed-up student, and the lists of one iteration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer

from benchmarks.assistants.strong import DEVICE, StrongBudget, StrongMaterial
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.distillation import Distillation
from st_mta.types import Scorer

COLLECTION = "openbookqa"
WARM_UP_EPOCHS = 4.0
SHARED: dict[str, Any] = {
    "num_iterations": 1,
    "patience": None,
    "queries_per_iteration": 1000,
    "num_train_epochs": 2.0,
    "regression_epochs": 0.0,
    "regression_weight": 0.0,
    "learning_rate": 1e-4,
}
"""Of every word, unless it says otherwise: the warmed-up student learns from lists alone."""


@dataclass
class Shared:
    """Made once, kept on disk.

    Attributes:
        data: Folder of the collections.
        work: Of this benchmark.
        models: Where ``benchmarks.assistants --material mpnet`` keeps its models and stores.
    """

    data: Path
    work: Path
    models: Path

    @cached_property
    def strong(self) -> StrongMaterial:
        """The tuned mpnet, the tuned MiniLM and BM25."""
        return StrongMaterial(COLLECTION, StrongBudget(), self.data, self.models)

    @property
    def teacher(self) -> Scorer:
        """The tuned mpnet read as a bi-encoder, so that it can score whole batches."""
        return self.strong.assistants[0]

    @property
    def assistants(self) -> list[Scorer]:
        """All others."""
        return self.strong.assistants[1:]

    @cached_property
    def warmed(self) -> Path:
        """The student that every word starts from: regressed to its teacher's embeddings."""
        return self._prepare(self.strong.pruned(), "warm-up", regression_epochs=WARM_UP_EPOCHS).begin().folder

    def student(self) -> SentenceTransformer:
        """A fresh copy of it."""
        return SentenceTransformer(str(self.warmed), device=DEVICE)

    def prepare(self, name: str, **arguments: Any) -> Distillation:
        """A run that differs from the others by these arguments."""
        return self._prepare(self.student(), name, **arguments)

    def _prepare(self, student: SentenceTransformer, name: str, **arguments: Any) -> Distillation:
        return Distillation.prepare(
            student,
            self._arguments(self.work / "runs" / name, **{**SHARED, **arguments}),
            self.teacher,
            self.assistants,
            self.strong.collection,
            store=self.strong.store,
        )

    def _arguments(self, folder: Path, **others: Any) -> MultiAssistantTrainingArguments:
        return self.strong.arguments(folder, **others)
