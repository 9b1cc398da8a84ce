"""What all arms of a collection share: assistants, teacher, and the warmed-up student. Made once, kept on disk."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.assistants.budgets import Budget
from benchmarks.assistants.collections import SEED, cut_collection
from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.recipes.diagnose import DiagnoseOptions, diagnose
from st_mta.recipes.make_assistants import Made, make_assistants
from st_mta.recipes.make_teacher import TeacherChoice, make_teacher
from st_mta.recipes.tune import TuningSettings
from st_mta.run.folder import remove_checkpoints
from st_mta.scorers import BM25, BiEncoderScorer, PairScorer, load_scorer, model_path
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.regression import (
    regress_embeddings,
    regression_embeddings,
    regression_positions,
    warm_up_arguments,
)
from st_mta.training.regression_weights import usable_bi_encoders
from st_mta.training.student_folders import save_student
from st_mta.training.students import DOCUMENTS, prune_layers
from st_mta.types import Scorer

BASE = "minilm"
STRONG = "strong"
"""Name of the teacher's bi-encoder where it serves as assistant."""
PART_SIZE = 2**16
"""Pairs between two writes: late interaction encodes a passage once per part, and here a part is soon done again."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass
class Material:
    """The shared part of a collection.

    Attributes:
        name: Of the collection.
        budget: Sizes.
        data: Folder of the collections.
        work: Folder for models, stores and runs.
    """

    name: str
    budget: Budget
    data: Path
    work: Path

    def __post_init__(self) -> None:
        self.cut = self.budget.collections[self.name]
        self.collection = cut_collection(self.data, self.name, self.cut)
        self.folder = self.work / self.name
        self.store = Store(self.work / "store")
        self.student_store = Store(self.work / "student-embeddings")

    def tuning(self, **others: Any) -> TuningSettings:
        """How assistants and teacher are tuned."""
        chosen = {**self.budget.tuning, **others}
        return TuningSettings(max_length=self.budget.max_length, device=DEVICE, seed=SEED, **chosen)

    @cached_property
    def made(self) -> list[Made]:
        """The assistants with their development quality, the untuned base and BM25 first."""
        return make_assistants(
            BASE,
            self.collection,
            self.folder / "assistants",
            kinds=self.budget.kinds,
            settings=self.tuning(),
            store=self.store,
        )

    @cached_property
    def strong(self) -> Made:
        """The teacher's bi-encoder: the base tuned longer, and on more queries than assistants and students see."""
        cut = replace(self.cut, train_queries=self.cut.teacher_queries, passages=None)
        return make_assistants(
            BASE,
            cut_collection(self.data, self.name, cut),
            self.folder / "strong",
            kinds=["contrastive"],
            settings=self.tuning(**self.budget.teacher_tuning),
            store=self.store,
        )[-1]

    @cached_property
    def teacher_choice(self) -> TeacherChoice:
        """A cross-encoder tuned from the strong bi-encoder, fused with it and the assistants where that is better."""
        tuned, strong = [one.model for one in self.made[2:]], self.strong.model
        return make_teacher(
            strong,
            self.collection,
            self.folder / "teacher",
            fuse_with=[strong, f"late-interaction:{strong}", *tuned, "bm25"],
            num_candidates=self.budget.compared_candidates,
            settings=self.tuning(max_queries=self.cut.cross_encoder_queries, **self.budget.cross_encoder_tuning),
            store=self.store,
        )

    def scorer(self, spec: str, name: str) -> Scorer:
        """A scorer under a short name."""
        scorer = load_scorer(spec, store=self.store, max_length=self.budget.max_length, device=DEVICE)
        scorer.name = name
        if isinstance(scorer, PairScorer):
            scorer.part_size = PART_SIZE
        return scorer

    @cached_property
    def teacher(self) -> Scorer:
        """The teacher."""
        return self.scorer(self.teacher_choice.teacher, "teacher")

    @cached_property
    def assistants(self) -> list[Scorer]:
        """The tuned assistants, the teacher's bi-encoder among them, and BM25; the best on dev first."""
        by_quality = sorted(self.models.items(), key=lambda one: -one[1].dev["ndcg@10"])
        return [*(self.scorer(one.model, name) for name, one in by_quality), BM25(store=self.store)]

    @cached_property
    def models(self) -> dict[str, Made]:
        """The tuned assistants by their names in the pool."""
        return {STRONG: self.strong, **{one.name: one for one in self.made[2:]}}

    def pool(self) -> AssistantPool:
        """A fresh pool."""
        return AssistantPool(self.teacher, self.assistants)

    def arguments(self, folder: Path, **others: Any) -> MultiAssistantTrainingArguments:
        """The training arguments that all arms share."""
        shared: dict[str, Any] = {
            "num_iterations": 2,
            "patience": None,
            "queries_per_iteration": self.cut.queries_per_iteration,
            "num_candidates": self.cut.num_candidates,
            "per_device_train_batch_size": self.budget.batch_size,
            "learning_rate": self.budget.learning_rate,
            "regression_epochs": 0.0,
            "max_length": self.budget.max_length,
            "max_eval_queries": self.cut.dev_queries,
            "save_strategy": "no",
            "bf16": DEVICE == "cuda",
        }
        return MultiAssistantTrainingArguments(str(folder), **{**shared, **others})

    def warm_up_arguments(self, path: Path, epochs: float, seed: int) -> MultiAssistantTrainingArguments:
        """The training arguments of embedding regression; its checkpoints lie beside ``path``."""
        folder = path.with_name(path.name + ".warm-up") / "checkpoints"
        shared = self.arguments(folder, regression_epochs=epochs, seed=seed)
        return replace(shared, **warm_up_arguments(shared))

    def warmed_student(self, layers: tuple[int, ...]) -> Path:
        """The pruned student after the warm-up that all arms start from."""
        path = self.folder / f"student-{'-'.join(map(str, layers))}-after-{self.budget.regression_epochs:g}-epochs"
        if path.exists():
            return path
        student = prune_layers(SentenceTransformer(model_path(BASE), device=DEVICE), list(layers))
        student.max_seq_length = self.budget.max_length
        width = student.get_embedding_dimension()
        target = usable_bi_encoders(self.assistants, width, "none")[0]
        arguments = self.warm_up_arguments(path, self.budget.regression_epochs, SEED)
        regress_embeddings(
            student,
            texts={"query": self.collection.queries, DOCUMENTS: self.collection.corpus},
            positions=regression_positions(self.collection, arguments),
            targets=regression_embeddings(target, self.collection),
            arguments=arguments,
        )
        save_student(student, path)
        remove_checkpoints(Path(str(arguments.output_dir)))
        return path

    def pruned_student(self, layers: tuple[int, ...]) -> BiEncoderScorer:
        """The student before the warm-up."""
        student = prune_layers(SentenceTransformer(model_path(BASE), device=DEVICE), list(layers))
        return BiEncoderScorer(student, name="pruned", store=self.student_store, max_length=self.budget.max_length)

    def diagnosis(self) -> dict[str, Any]:
        """How every assistant and fusion agrees with the teacher on dev, before any training."""
        searchers = [scorer for scorer in self.assistants if scorer.can_retrieve]
        return asdict(diagnose(self.collection, self.pool(), searchers, DiagnoseOptions(seed=0)))

    def prepare(self) -> dict[str, Any]:
        """Makes everything; says how good it is on dev and how long that took when it was made."""
        path = self.folder / "prepared.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        start = time.perf_counter()
        untuned = {one.name: one for one in self.made[:2]}
        prepared = {
            "texts": {
                "passages": len(self.collection.corpus),
                **{s: len(q) for s, q in self.collection.qrels.items()},
            },
            "assistants": {name: one.dev for name, one in {**untuned, **self.models}.items()},
            "teacher": {
                "parts": {_short(name): weight for name, weight in self.teacher_choice.weights.items()},
                "dev_ndcg@10": {_short(name): value for name, value in self.teacher_choice.ndcg.items()},
                "chosen": _short(self.teacher_choice.teacher),
            },
            "students": [self.warmed_student(layers).name for layers in self.budget.student_layers],
            "diagnosis": self.diagnosis(),
            "seconds": round(time.perf_counter() - start),
        }
        atomic_write_text(path, json.dumps(prepared, indent=2))
        return prepared


def _short(spec: str) -> str:
    """Kind, folder and name: two models may both be called contrastive."""
    prefix = "late-interaction:" if spec.startswith("late-interaction:") else ""
    return prefix + "/".join(Path(spec).parts[-2:])
