"""Training steps of a three-layer student under each loss, on the same batches."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import Tensor, nn

from st_mta.collections import load_collection
from st_mta.losses import AttentionMSELoss, HiddenStateMSELoss, ListwiseKLLoss, MultiLevelDistillationLoss
from st_mta.mining import mine
from st_mta.scorers import BM25, model_path
from st_mta.training.students import prune_layers, set_dropout
from st_mta.types import Collection

BASELINE = "listwise"
KEEP = [0, 2, 5]
PER_FORWARD = 32
"""Passages of about the same length per forward pass, as the collator of st_mta cuts them on a CPU."""

MakeLoss = Callable[[SentenceTransformer, CrossEncoder], nn.Module]
Batch = tuple[list[dict[str, Tensor]], dict[str, Tensor]]

LOSSES: dict[str, MakeLoss] = {
    BASELINE: lambda student, teacher: ListwiseKLLoss(student),
    "interaction": lambda student, teacher: AttentionMSELoss(student, teacher=teacher, variant="interaction"),
    "self": lambda student, teacher: AttentionMSELoss(student, teacher=teacher, variant="self"),
    "relation": lambda student, teacher: AttentionMSELoss(student, teacher=teacher, variant="relation"),
    "hidden": lambda student, teacher: HiddenStateMSELoss(student, teacher=teacher),
    "multi_level": lambda student, teacher: MultiLevelDistillationLoss(
        student, word={"attention": AttentionMSELoss(student, teacher=teacher)}
    ),
}
"""Last layer with last layer, each query read with its positive. `multi_level` is contrastive + sentence + word."""


@dataclass(frozen=True)
class Setting:
    """A kind of batch.

    Attributes:
        collection: Its texts.
        batch: Queries.
        candidates: Passages per query.
        max_length: Tokens per text.
    """

    collection: str
    batch: int
    candidates: int
    max_length: int


SETTINGS = {
    "short": Setting("openbookqa", batch=32, candidates=8, max_length=64),
    "long": Setting("scifact", batch=16, candidates=4, max_length=128),
}


def models(setting: Setting, device: str) -> tuple[SentenceTransformer, CrossEncoder]:
    """MiniLM's first, third and last layer as student; all six with a random head as teacher."""
    student = prune_layers(SentenceTransformer(model_path("minilm"), device=device), KEEP)
    student.max_seq_length = setting.max_length
    set_dropout(student, 0.0)
    return student, CrossEncoder(model_path("minilm"), num_labels=1, device=device)


def batches(student: SentenceTransformer, data: Path, setting: Setting, number: int) -> list[Batch]:
    """Flat batches with random scores of a teacher, on the student's device."""
    collection = load_collection(data / setting.collection)
    split = "train" if "train" in collection.qrels else "test"
    queries = collection.queries_of(split)[: 2 * setting.batch * number]  # some find too few passages
    lists = mine(collection, queries, [BM25()], collection.qrels[split], num_candidates=setting.candidates)
    full = lists.select(np.flatnonzero(lists.lengths == setting.candidates))
    passages = full.passages.reshape(-1, setting.candidates)
    starts = range(0, len(full) - setting.batch + 1, setting.batch)
    return [
        _batch(student, collection, full.queries[start:][: setting.batch], passages[start:][: setting.batch])
        for start in starts[:number]
    ]


def _batch(student: SentenceTransformer, collection: Collection, queries: Any, passages: Any) -> Batch:
    distinct, index = np.unique(passages, return_inverse=True)
    texts = collection.corpus.take(distinct)
    order = np.argsort([len(text) for text in texts], kind="stable")
    columns = [order[start : start + PER_FORWARD] for start in range(0, len(order), PER_FORWARD)]
    features = [student.preprocess(collection.queries.take(queries))]
    features += [student.preprocess([texts[place] for place in column]) for column in columns]
    scores = np.random.default_rng(0).normal(size=(len(queries), 1, passages.shape[1])).astype(np.float32)
    label = {
        "scores": torch.from_numpy(scores),
        "index": torch.from_numpy(np.argsort(order)[index].reshape(passages.shape)),
        "positive": torch.arange(passages.shape[1]).expand(passages.shape) == 0,
    }
    device = student.device
    return [batch_to_device(dict(column), device) for column in features], batch_to_device(label, device)


class Steps:
    """Steps of a copy of the student: forward, backward, optimiser; the teacher's own forward timed apart.

    The teacher's time is taken around its call inside the loss, in the same steps, by hooks on the teacher.

    Attributes:
        teacher_seconds: Of the last step.
    """

    def __init__(self, student: SentenceTransformer, teacher: CrossEncoder, make: MakeLoss) -> None:
        self.student, self.teacher_seconds, self._began = copy.deepcopy(student), 0.0, 0.0
        teacher = copy.deepcopy(teacher)
        teacher.register_forward_pre_hook(self._teacher_begins)
        teacher.register_forward_hook(self._teacher_ends)
        self.loss = make(self.student, teacher)
        self.optimizer = torch.optim.AdamW([p for p in self.loss.parameters() if p.requires_grad], lr=1e-5)
        self.student.train()

    def __call__(self, batch: Batch) -> float:
        """Seconds of one step."""
        features, label = batch
        self.teacher_seconds = 0.0
        start = self._now()
        self.loss([dict(column) for column in features], label).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return self._now() - start

    def _now(self) -> float:
        if self.student.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def _teacher_begins(self, *_: Any) -> None:
        self._began = self._now()

    def _teacher_ends(self, *_: Any) -> None:
        self.teacher_seconds += self._now() - self._began
