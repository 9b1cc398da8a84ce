"""The stock pipeline: what a user of sentence-transformers would run, with the host's defaults."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import (
    CrossEncoder,
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)
from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss
from sentence_transformers.util import mine_hard_negatives

from benchmarks.speed.material import BATCH_SIZE, LEARNING_RATE, NUM_CANDIDATES, SCALE, Material
from st_mta.precision import PRECISIONS
from st_mta.scored import ScoredCandidates
from st_mta.training.one_gpu import OneGpu


class _Arguments(OneGpu, SentenceTransformerTrainingArguments):
    pass


class Stock:
    """The stations of the stock pipeline.

    Args:
        material: What to work on.
        precision: "fp32" or "bf16": weights of frozen models, and autocast in training.
        work: Folder for what the host writes.
        batch_size: Texts, pairs or queries of a batch; the host's default.
    """

    def __init__(self, material: Material, precision: str, work: Path, batch_size: int = BATCH_SIZE) -> None:
        self.material, self.precision, self.work = material, precision, work
        self.batch_size = batch_size

    def frozen(self, folder: str) -> SentenceTransformer:
        """A bi-encoder for encoding."""
        return SentenceTransformer(folder, model_kwargs={"dtype": PRECISIONS[self.precision]})

    @cached_property
    def retriever(self) -> SentenceTransformer:
        """The bi-encoder that mines and encodes."""
        return self.frozen(self.material.retriever)

    @cached_property
    def teacher(self) -> CrossEncoder:
        """The cross-encoder."""
        return CrossEncoder(self.material.teacher, model_kwargs={"dtype": PRECISIONS[self.precision]})

    def mine(self) -> Dataset:
        """Seven hard negatives per query."""
        collection, queries = self.material.collection, self.material.queries
        qrels = collection.qrels["train"]
        positives = [collection.corpus[next(iter(qrels[query]))] for query in collection.queries.take_ids(queries)]
        return mine_hard_negatives(
            Dataset.from_dict({"query": collection.queries.take(queries), "positive": positives}),
            self.retriever,
            corpus=collection.corpus.take(range(len(collection.corpus))),
            num_negatives=NUM_CANDIDATES - 1,
            output_format="n-tuple",
            batch_size=self.batch_size,
            verbose=False,
        )

    def score(self, scored: ScoredCandidates) -> np.ndarray:
        """Every pair, raw logits."""
        queries, rows = self.material.texts_of(scored)
        pairs = [(query, passage) for query, passages in zip(queries, rows) for passage in passages]
        return self.teacher.predict(
            pairs, batch_size=self.batch_size, activation_fn=torch.nn.Identity(), show_progress_bar=False
        )

    def encode(self, texts: list[str]) -> np.ndarray:
        """Embeddings."""
        return self.retriever.encode_document(texts, batch_size=self.batch_size, show_progress_bar=False)

    def train(self, scored: ScoredCandidates, student: SentenceTransformer, seed: int) -> None:
        """One epoch of the host's KL loss over columns."""
        queries, rows = self.material.texts_of(scored)
        columns = {"query": queries, **{f"passage_{i}": [row[i] for row in rows] for i in range(NUM_CANDIDATES)}}
        labels = scored.scores.reshape(-1, NUM_CANDIDATES).tolist()
        loss = DistillKLDivLoss(student, student_temperature=1 / SCALE, teacher_temperature=1.0)
        arguments = _Arguments(
            str(self.work / "stock"),
            num_train_epochs=1,
            per_device_train_batch_size=self.batch_size,
            learning_rate=LEARNING_RATE,
            seed=seed,
            bf16=self.precision == "bf16",
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=student.device.type == "cpu",
        )
        dataset = Dataset.from_dict({**columns, "label": labels})
        SentenceTransformerTrainer(student, arguments, dataset, loss=loss).train()

    def evaluate(self, student: SentenceTransformer) -> Any:
        """The host's evaluator on the test split."""
        collection = self.material.collection
        qrels, corpus = collection.qrels["test"], collection.corpus
        evaluator = InformationRetrievalEvaluator(
            {query: collection.queries[query] for query in qrels},
            dict(zip(corpus.ids, corpus.take(range(len(corpus))))),
            {query: {passage for passage, grade in judged.items() if grade > 0} for query, judged in qrels.items()},
        )
        return evaluator(student)
