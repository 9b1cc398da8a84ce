"""One training on a collection's lists, in one of the two orders, measured and kept."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from transformers import set_seed

from st_mta.atomic import atomic_write_text
from st_mta.collections import load_collection, with_dev_split
from st_mta.evaluation import evaluate_scorer
from st_mta.evaluation.measures import per_query
from st_mta.losses import ListwiseKLLoss
from st_mta.mining import mine
from st_mta.precision import resolve_precision
from st_mta.run.results import Trained
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer, model_path
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.run_state import listwise_collator
from st_mta.training.sharing import order_of_batches
from st_mta.training.students import prune_layers

ORDERS = ("shuffled", "sharing")
BATCH_SIZE = 32
SCALE = 20.0
SEED = 0
"""Of what all trainings have in common: the development queries and the training queries."""


@dataclass(frozen=True)
class Settings:
    """What the trainings of one command have in common.

    Attributes:
        queries: Training queries at most.
        candidates: Passages per query.
        epochs: Passes over them.
    """

    queries: int
    candidates: int
    epochs: int


class Trainings:
    """The trainings on one collection; lists and targets are made once.

    Args:
        name: Of the collection.
        data: Folder of the collections.
        work: Keeps embeddings, and the result of each training by settings.
        settings: Of all of them.
    """

    def __init__(self, name: str, data: Path, work: Path, settings: Settings) -> None:
        self.settings = settings
        self.collection = with_dev_split(load_collection(data / name), SEED)
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.store = Store(work / "store")
        self.folder = work / f"{name}-{settings.queries}-{settings.candidates}-{settings.epochs}"

    def run(self, order: str, seed: int) -> dict[str, Any]:
        """Figures of one training, or what was kept of them."""
        path = self.folder / f"{order}-{seed}.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic_write_text(path, json.dumps(self._measured(order, seed)))
        kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return kept

    @cached_property
    def scored(self) -> ScoredCandidates:
        """MiniLM's candidates and its similarities as the teacher's logits."""
        collection = self.collection
        retriever = BiEncoderScorer(SentenceTransformer(model_path("minilm"), device=self.device), store=self.store)
        available = collection.queries_of("train")
        drawn = np.sort(np.random.default_rng(SEED).permutation(available)[: self.settings.queries])
        lists = mine(
            collection, drawn, [retriever], collection.qrels["train"], num_candidates=self.settings.candidates
        )
        scores = SCALE * retriever.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)
        return ScoredCandidates(lists, scores[None], (retriever.name,))

    def _measured(self, order: str, seed: int) -> dict[str, Any]:
        lists = self.scored.candidates
        set_seed(seed)
        student = prune_layers(SentenceTransformer(model_path("minilm"), device=self.device), [0, 2, 5])
        wall, cpu = time.perf_counter(), time.process_time()
        done = self._train(student, order, seed)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        distinct = done.sequences / self.settings.epochs - len(lists.queries)
        return {
            **self._quality(student),
            "distinct_per_listed": distinct / len(lists.passages),
            "steps": done.steps,
            "wall_seconds": wall,
            "cpu_seconds": cpu,
        }

    def _train(self, student: SentenceTransformer, order: str, seed: int) -> Trained:
        """With the defaults of a run, but no checkpoints."""
        steps = self.folder / f"{order}-{seed}-steps"
        arguments = MultiAssistantTrainingArguments(
            str(steps / "checkpoints"),
            seed=seed,
            batches=order,
            num_train_epochs=self.settings.epochs,
            per_device_train_batch_size=BATCH_SIZE,
            bf16=resolve_precision("auto", torch.device(self.device)) == torch.bfloat16,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=self.device == "cpu",
        )
        loss = ListwiseKLLoss(student, scale=SCALE, contrastive_weight=arguments.contrastive_weight)
        done = train_with_checkpoints(
            student,
            replace(arguments, **order_of_batches(arguments)),
            listwise_dataset(self.scored, self.collection.queries),
            listwise_collator(student, loss, arguments, self.device, self.collection.corpus, {}),
            loss,
        )
        shutil.rmtree(steps, ignore_errors=True)
        return done

    def _quality(self, student: SentenceTransformer) -> dict[str, Any]:
        scorer = BiEncoderScorer(student, name="student", store=Store(self.folder / "embeddings"))
        _, dev = evaluate_scorer(scorer, self.collection, "dev")
        found, test = evaluate_scorer(scorer, self.collection, "test")
        shutil.rmtree(self.folder / "embeddings")
        by_query = per_query(found, self.collection.qrels["test"], "ndcg@10")
        return {
            "dev_ndcg@10": dev["ndcg@10"],
            "test_ndcg@10": test["ndcg@10"],
            "per_query": {self.collection.name: by_query},
        }
