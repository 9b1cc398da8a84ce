"""The warm-up: a pruned student regresses its embeddings to those of a good bi-encoder, on unlabelled text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import DefaultBatchSampler
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from sentence_transformers.sentence_transformer.losses import EmbedDistillLoss

from st_mta.run.results import Trained
from st_mta.stores.embeddings import Embeddings
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import train_with_checkpoints
from st_mta.training.collator import RegressionCollator
from st_mta.training.students import DOCUMENTS, collator_inputs
from st_mta.types import IntArray, Texts

POOL_OF_BATCHES = 32
"""Batches among which texts are sorted by length: little is padded, and batches stay mixed."""


def regress_embeddings(
    student: SentenceTransformer,
    texts: dict[str, Texts],
    positions: dict[str, IntArray],
    targets: dict[str, Embeddings],
    arguments: MultiAssistantTrainingArguments,
    **hosted: Any,
) -> Trained:
    """Trains the student, in place, to give each text the embedding the assistant gave it (cosine distance).

    Args:
        student: The model to train.
        texts: Column name ("query", "documents") -> texts of that role.
        positions: Column name -> (n,) positions of the texts to train on.
        targets: Column name -> the assistant's embeddings, of the student's dimension.
        arguments: Of this training, as [`warm_up_arguments`] makes them.
        hosted: Evaluator and callbacks, as for [`train_with_checkpoints`].
    """
    datasets = DatasetDict(
        {
            column: Dataset.from_dict(
                {"column": [column] * len(kept), "position": kept, "length": _lengths(texts[column], kept)}
            )
            for column, kept in positions.items()
            if len(kept)
        }
    )
    collator = RegressionCollator(
        student.preprocess, texts=texts, targets=targets, **collator_inputs(student, arguments.router_mapping)
    )
    loss = EmbedDistillLoss(student, distance_metric="cosine")
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
        features = {key.removeprefix(f"{column}_"): value for key, value in batch.items()}
        features = {
            key: value.to(student.device) if hasattr(value, "to") else value for key, value in features.items()
        }
        with torch.enable_grad():
            if student(features)["sentence_embedding"].requires_grad:
                found.append(column)
    return found


def _lengths(texts: Texts, positions: IntArray) -> list[int]:
    return [len(text) for text in texts.take(positions)]


class LengthGroupedBatchSampler(DefaultBatchSampler):
    """Shuffled batches of texts of like length (the dataset has a column ``length``)."""

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        drop_last: bool,
        valid_label_columns: list[str] | None = None,
        generator: torch.Generator | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(
            dataset,
            batch_size=batch_size,
            drop_last=drop_last,
            valid_label_columns=valid_label_columns,
            generator=generator,
            seed=seed,
        )
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

    def __len__(self) -> int:
        pools, rest = divmod(len(self.text_lengths), self.batch_size)
        return pools + (0 if self.drop_last or not rest else 1)
