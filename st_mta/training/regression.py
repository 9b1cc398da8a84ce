"""Embedding regression, in the warm-up and beside the listwise loss: to whose embeddings, of which texts, and how."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss
from torch import nn

from st_mta.collections.unlabelled import numbered
from st_mta.run.results import Trained
from st_mta.scorers import EmbeddingScorer
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import RegressionCollator
from st_mta.training.curriculum import training_queries
from st_mta.training.students import DOCUMENTS, collator_inputs
from st_mta.types import Collection, IntArray, Texts

POOL_OF_BATCHES = 32
"""Batches among which texts are sorted by length: little is padded, and batches stay mixed."""


def regression_embeddings(target: EmbeddingScorer, collection: Collection) -> dict[str, Embeddings]:
    """The target's embeddings of all queries and passages, by training column."""
    queries, corpus = collection.queries, collection.corpus
    return {
        "query": target.embed(queries, "query", np.arange(len(queries))),
        DOCUMENTS: target.embed(corpus, "document", np.arange(len(corpus))),
    }


def regression_positions(collection: Collection, arguments: MultiAssistantTrainingArguments) -> dict[str, IntArray]:
    """Training queries and passages, at most ``regression_max_texts``; no query of dev or test."""
    random = np.random.default_rng([arguments.seed, arguments.num_iterations])
    queries = np.unique(training_queries(collection))
    passages = np.arange(len(collection.corpus), dtype=np.int64)
    share = min(1.0, arguments.regression_max_texts / (len(queries) + len(passages)))
    return {
        "query": np.sort(random.permutation(queries)[: int(share * len(queries))]),
        DOCUMENTS: np.sort(random.permutation(passages)[: int(share * len(passages))]),
    }


@dataclass(frozen=True)
class WarmUpTexts:
    """What the warm-up trains on, by training column ("query", "documents").

    Attributes:
        texts: Tables of texts.
        positions: (n,) of the texts in their table to train on.
        targets: The embeddings to regress to, of all texts of the table.
    """

    texts: dict[str, Texts]
    positions: dict[str, IntArray]
    targets: dict[str, Embeddings]


def warm_up_texts(
    collection: Collection,
    unlabelled: Texts | None,
    target: EmbeddingScorer,
    arguments: MultiAssistantTrainingArguments,
) -> WarmUpTexts:
    """Training queries, passages and unlabelled texts, at most ``regression_max_texts``, with their targets.

    Without unlabelled texts everything is encoded, since the iterations need it; with them only what is trained on.
    """
    if unlabelled is None:
        return WarmUpTexts(
            {"query": collection.queries, DOCUMENTS: collection.corpus},
            regression_positions(collection, arguments),
            regression_embeddings(target, collection),
        )
    passages = numbered([collection.corpus.column, unlabelled.column])
    drawn = regression_positions(replace(collection, corpus=passages), arguments)
    passages = passages.select(drawn[DOCUMENTS])
    every = np.arange(len(passages), dtype=np.int64)
    return WarmUpTexts(
        {"query": collection.queries, DOCUMENTS: passages},
        {"query": drawn["query"], DOCUMENTS: every},
        {
            "query": target.embed(collection.queries, "query", np.arange(len(collection.queries))),
            DOCUMENTS: target.embed(passages, "document", every),
        },
    )


def regress_embeddings(
    student: SentenceTransformer,
    texts: dict[str, Texts],
    positions: dict[str, IntArray],
    targets: dict[str, Embeddings],
    arguments: MultiAssistantTrainingArguments,
    loss: nn.Module | None = None,
    **hosted: Any,
) -> Trained:
    """Trains the student, in place, to give each text the embedding the assistant gave it.

    Args:
        student: The model to train.
        texts: Column name ("query", "documents") -> texts of that role.
        positions: Column name -> (n,) positions of the texts to train on.
        targets: Column name -> the assistant's embeddings, for the default of the student's dimension.
        arguments: Of this training, as [`warm_up_arguments`] makes them.
        loss: From a column of texts and a label (B, D); by default the cosine distance.
        hosted: Evaluator and callbacks, as for [`train_with_checkpoints`].
    """
    rows = {column: Dataset.from_dict(_rows(column, texts[column], kept)) for column, kept in positions.items()}
    datasets = DatasetDict({column: dataset for column, dataset in rows.items() if len(dataset)})
    collator = RegressionCollator(
        student.preprocess, texts=texts, targets=targets, **collator_inputs(student, arguments.router_mapping)
    )
    loss = EmbedDistillLoss(student, distance_metric="cosine") if loss is None else loss
    return train_with_checkpoints(student, arguments, datasets, collator, loss, **hosted)


def warm_up_arguments(arguments: MultiAssistantTrainingArguments) -> dict[str, Any]:
    """How the warm-up's training differs from an iteration's."""
    return {
        "num_train_epochs": arguments.regression_epochs,
        "learning_rate": arguments.regression_learning_rate,
        "max_steps": -1,
        "per_device_train_batch_size": arguments.regression_batch_size,
        "batch_sampler": LengthGroupedBatchSampler,
        "warmup_steps": 0.1,
    }


def trainable_columns(student: SentenceTransformer, router_mapping: dict[str, str]) -> list[str]:
    """The columns whose embeddings have a gradient: not those that pass through frozen modules alone."""
    found = []
    for column in ("query", DOCUMENTS):
        collator = SentenceTransformerDataCollator(student.preprocess, **collator_inputs(student, router_mapping))
        batch = collator([{column: "text"}])
        features = {
            key.removeprefix(f"{column}_"): value.to(student.device) if hasattr(value, "to") else value
            for key, value in batch.items()
        }
        with torch.enable_grad():
            if student(features)["sentence_embedding"].requires_grad:
                found.append(column)
    return found


def _rows(column: str, texts: Texts, kept: IntArray) -> dict[str, Any]:
    return {"column": [column] * len(kept), "position": kept, "length": [len(text) for text in texts.take(kept)]}


class LengthGroupedBatchSampler(DefaultBatchSampler):
    """Shuffled batches of texts of like length (the dataset has a column ``length``)."""

    def __init__(self, dataset: Dataset, **options: Any) -> None:
        super().__init__(dataset, **options)
        self.text_lengths = np.asarray(dataset["length"])

    def __iter__(self) -> Iterator[list[int]]:
        random = np.random.default_rng([self.seed, getattr(self, "epoch", 0)])
        order = random.permutation(len(self.text_lengths))
        pool = self.batch_size * POOL_OF_BATCHES
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            chunk = order[start : start + pool]
            chunk = chunk[np.argsort(self.text_lengths[chunk], kind="stable")]
            batches += [chunk[at : at + self.batch_size].tolist() for at in range(0, len(chunk), self.batch_size)]
        if self.drop_last:
            batches = [batch for batch in batches if len(batch) == self.batch_size]
        for index in random.permutation(len(batches)):
            yield batches[index]
