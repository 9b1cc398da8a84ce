"""The same stations by st_mta, through what its own runs call."""

from __future__ import annotations

import copy
import itertools
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.speed.material import BATCH_SIZE, LEARNING_RATE, NUM_CANDIDATES, SCALE, Material
from st_mta.evaluation import evaluate_scorer
from st_mta.losses import ListwiseKLLoss
from st_mta.mining import mine
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.run_state import listwise_collator
from st_mta.types import Candidates

AnyScorer = TypeVar("AnyScorer", BiEncoderScorer, CrossEncoderScorer)


class Ours:
    """The stations of st_mta; each has a new store, so that none finds what another one computed.

    Args:
        material: What to work on.
        precision: "fp32" or "bf16".
        work: Folder for stores and checkpoints.
        batch_size: Queries of a training batch; frozen scorers cut theirs by tokens.
    """

    def __init__(self, material: Material, precision: str, work: Path, batch_size: int = BATCH_SIZE) -> None:
        self.material, self.precision, self.work = material, precision, work
        self.batch_size = batch_size
        self._numbers = itertools.count()

    def frozen(self, folder: str) -> BiEncoderScorer:
        """A bi-encoder for encoding; named by its folder, it is held once, in its precision."""
        return BiEncoderScorer(folder, store=self._store(), precision=self.precision)

    @cached_property
    def retriever(self) -> BiEncoderScorer:
        """The bi-encoder that mines and encodes."""
        return self.frozen(self.material.retriever)

    @cached_property
    def teacher(self) -> CrossEncoderScorer:
        """The cross-encoder."""
        return CrossEncoderScorer(self.material.teacher, store=self._store(), precision=self.precision)

    def mine(self) -> Candidates:
        """The positive and seven others per query."""
        collection, queries = self.material.collection, self.material.queries
        retrievers, qrels = [self._anew(self.retriever)], collection.qrels["train"]
        return mine(collection, queries, retrievers, qrels, num_candidates=NUM_CANDIDATES)

    def score(self, scored: ScoredCandidates) -> np.ndarray:
        """Every pair, into a store."""
        collection, lists = self.material.collection, scored.candidates
        scorer = self._anew(self.teacher)
        return scorer.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings, not stored."""
        return self.retriever.encode(texts, "document")

    def train(self, scored: ScoredCandidates, student: SentenceTransformer, seed: int) -> None:
        """One epoch over the same lists in the same number of steps."""
        collection, device = self.material.collection, student.device.type
        arguments = MultiAssistantTrainingArguments(
            str(self._folder() / "checkpoints"),
            num_train_epochs=1,
            per_device_train_batch_size=self.batch_size,
            learning_rate=LEARNING_RATE,
            seed=seed,
            precision=self.precision,
            bf16=self.precision == "bf16",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=device == "cpu",
        )
        dataset = listwise_dataset(scored, collection.queries)
        loss = ListwiseKLLoss(student, scale=SCALE)
        collator = listwise_collator(student, loss, arguments, device, collection.corpus, {})
        train_with_checkpoints(student, arguments, dataset, collator, loss)

    def evaluate(self, student: BiEncoderScorer) -> Any:
        """All measures on the test split."""
        return evaluate_scorer(student, self.material.collection, "test")

    def _anew(self, scorer: AnyScorer) -> AnyScorer:
        """The scorer with an empty store."""
        scorer = copy.copy(scorer)
        scorer.store = self._store()
        return scorer

    def _store(self) -> Store:
        return Store(self._folder() / "store")

    def _folder(self) -> Path:
        return self.work / str(next(self._numbers))
