"""The material where there is something to win: teachers of 110M parameters, a student of three MiniLM layers.

all-mpnet-base-v2 is tuned on more queries than the student sees, and read as a bi-encoder and token by token; the
fusion of both is the teacher. The tuned mpnet, MiniLM tuned on the student's queries and BM25 are the assistants.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from sentence_transformers import SentenceTransformer

from benchmarks.assistants.budgets import Cut
from benchmarks.assistants.collections import SEED, cut_collection
from benchmarks.mpnet import mpnet_folder
from st_mta.assistants.weights import fit_log_linear
from st_mta.atomic import atomic_write_text
from st_mta.evaluation import evaluate_scorer
from st_mta.mining import mine
from st_mta.recipes.make_assistants import make_assistants
from st_mta.recipes.tune import TuningSettings
from st_mta.scored import score_all
from st_mta.scorers import BM25, BiEncoderScorer, EmbeddingScorer, load_scorer, model_path
from st_mta.scorers.fused import FusedScorer
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.students import prune_layers
from st_mta.types import Scorer

LAYERS = [0, 2, 5]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
COMPARED = 32
"""Passages by each bi-encoder among which the parts of the teacher are weighed on dev."""


@dataclass(frozen=True)
class StrongBudget:
    """What is run.

    Attributes:
        collections: Cut to what two cores can do.
        seeds: Of the students' training.
        warm_up_epochs: Passes of embedding regression before the lists.
        batch_size: Queries per training step over lists.
        max_length: Tokens per text.
        tuning: Settings of the tuned models.
    """

    collections: dict[str, Cut] = field(
        default_factory=lambda: {
            "openbookqa": Cut(3000, 300, 500, None, 400, 8, None),
            "squad-sent": Cut(2000, 300, 800, 4000, 400, 8, 4000),
            "nq-mini": Cut(1500, 300, 700, None, 400, 8, None),
            "medquad": Cut(2000, 300, 96, 4000, 400, 8, 4000),
        }
    )
    seeds: tuple[int, ...] = (1, 2, 3)
    warm_up_epochs: float = 8.0
    batch_size: int = 16
    max_length: int = 64
    tuning: dict[str, Any] = field(
        default_factory=lambda: {"epochs": 1.0, "batch_size": 32, "learning_rate": 2e-5, "num_negatives": 1}
    )


@dataclass
class StrongMaterial:
    """The shared part of a collection: made once, kept on disk.

    Attributes:
        name: Of the collection.
        budget: Sizes.
        data: Folder of the collections.
        work: Folder for models, stores and runs.
    """

    name: str
    budget: StrongBudget
    data: Path
    work: Path

    def __post_init__(self) -> None:
        self.cut = self.budget.collections[self.name]
        self.collection = cut_collection(self.data, self.name, self.cut)
        self.folder = self.work / self.name
        self.store = Store(self.folder / "store")

    @cached_property
    def tuned(self) -> dict[str, str]:
        """Folders of the tuned models: mpnet on the teacher's queries, MiniLM on the student's."""
        wider = cut_collection(self.data, self.name, replace(self.cut, train_queries=self.cut.teacher_queries))
        settings = TuningSettings(
            max_length=self.budget.max_length, device=DEVICE, seed=SEED, save_steps=50, **self.budget.tuning
        )
        made = {}
        for name, base, collection in (
            ("mpnet", mpnet_folder(), wider),
            ("minilm", "minilm", self.collection),
        ):
            made[name] = make_assistants(
                base, collection, self.folder / name, kinds=["contrastive"], settings=settings, store=self.store
            )[-1].model
        return made

    def scorer(self, spec: str, name: str) -> Scorer:
        """A scorer under a short name."""
        return load_scorer(spec, store=self.store, max_length=self.budget.max_length, device=DEVICE, name=name)

    @cached_property
    def assistants(self) -> list[Scorer]:
        """Those of both families, and BM25."""
        return [self.scorer(folder, name) for name, folder in self.tuned.items()] + [BM25(store=self.store)]

    @cached_property
    def teacher(self) -> Scorer:
        """The tuned mpnet, read as a bi-encoder and token by token, with weights fitted on dev."""
        parts = [self.assistants[0], self.scorer(f"late-interaction:{self.tuned['mpnet']}", "mpnet token by token")]
        lists = mine(
            self.collection,
            self.collection.queries_of("dev"),
            self.bi_encoders,
            self.collection.qrels["dev"],
            num_candidates=COMPARED,
            depth=COMPARED,
        )
        scores, mask, positive = score_all(self.collection, lists, parts).dense()
        spread = scores.transpose(1, 2)[mask].std(dim=0)
        weights = fit_log_linear(scores / spread[:, None], positive, mask)
        kept = [(part, weight / float(one)) for part, weight, one in zip(parts, weights, spread) if weight > 0]
        return FusedScorer([part for part, _ in kept], [weight for _, weight in kept], "teacher")

    @property
    def bi_encoders(self) -> list[EmbeddingScorer]:
        """The assistants that give embeddings."""
        return [scorer for scorer in self.assistants if isinstance(scorer, EmbeddingScorer)]

    def arguments(self, folder: Path, **others: Any) -> MultiAssistantTrainingArguments:
        """The training arguments that all arms share."""
        shared: dict[str, Any] = {
            "num_iterations": 2,
            "patience": None,
            "queries_per_iteration": self.cut.queries_per_iteration,
            "num_candidates": self.cut.num_candidates,
            "per_device_train_batch_size": self.budget.batch_size,
            "regression_epochs": self.budget.warm_up_epochs,
            "max_length": self.budget.max_length,
            "max_eval_queries": self.cut.dev_queries,
            "save_strategy": "no",
            "use_cpu": DEVICE == "cpu",
        }
        return MultiAssistantTrainingArguments(str(folder), **{**shared, **others})

    def pruned(self) -> SentenceTransformer:
        """The untrained student."""
        student = prune_layers(SentenceTransformer(model_path("minilm"), device=DEVICE), LAYERS)
        student.max_seq_length = self.budget.max_length
        return student

    def prepare(self) -> dict[str, Any]:
        """Makes everything; nDCG@10 of all scorers on dev and test, and of the untrained student."""
        path = self.folder / "prepared.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        start = time.perf_counter()
        student = BiEncoderScorer(self.pruned(), name="untrained", store=self.store, max_length=self.budget.max_length)
        scorers = [*self.assistants, student, self.scorer(mpnet_folder(), "mpnet, not tuned"), self.teacher]
        prepared = {
            "texts": {
                "passages": len(self.collection.corpus),
                **{split: len(queries) for split, queries in self.collection.qrels.items()},
            },
            "weights_of_the_teacher": dict(zip([part.name for part in self.teacher.parts], self.teacher.weights)),  # type: ignore[attr-defined]
            **{split: {one.name: self._ndcg(one, split) for one in scorers} for split in ("dev", "test")},
            "seconds": round(time.perf_counter() - start),
            "cut": asdict(self.cut),
        }
        atomic_write_text(path, json.dumps(prepared, indent=2))
        return prepared

    def _ndcg(self, scorer: Scorer, split: str) -> float:
        return evaluate_scorer(scorer, self.collection, split, first_stage=self.assistants[0])[1]["ndcg@10"]
