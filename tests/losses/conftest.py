"""Embeddings and labels in both forms, and one tiny student for all tests of the losses."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import pytest
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.util import cos_sim, dot_score

from tests import reference
from tests.tiny import tiny_sentence_transformer

QUERIES = ["what eats a fish", "why is the sea blue", "who sleeps in a house", "how fast is a train"]
PASSAGES = [
    ["the bird eats a fish", "the cat drinks milk", "bread is good"],
    ["the light of the sun is blue in water", "a red car", "the moon"],
    ["a dog sleeps in the house", "the wind", "a tree in the city"],
    ["the train runs fast on the road", "a plane flies", "the old ship is slow"],
]
LABEL = [[9.0, 2.0, -4.0], [7.0, -3.0, 1.0], [8.0, 0.0, 3.0], [6.0, 5.0, -1.0]]
COLUMNS = [QUERIES, *(list(column) for column in zip(*PASSAGES))]
SIMILARITIES = {"cosine": (cos_sim, reference.cosine), "dot": (dot_score, reference.dot)}


def features_of(model):
    return [model.preprocess(column) for column in COLUMNS]


def stock_trainer(student, loss, folder, *, label=LABEL, callbacks=(), **options):
    """The host's own trainer on the columns."""
    names = ("query", "positive", "negative_1", "negative_2")
    arguments = {
        "per_device_train_batch_size": 4,
        "learning_rate": 3e-3,
        "warmup_steps": 0,
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
    }
    return SentenceTransformerTrainer(
        model=student,
        args=SentenceTransformerTrainingArguments(str(folder), **arguments | options),
        train_dataset=Dataset.from_dict(dict(zip(names, COLUMNS)) | {"label": label}),
        loss=loss,
        callbacks=list(callbacks),
    )


def gradcheck(loss, embeddings, label):
    return torch.autograd.gradcheck(lambda *sides: loss.compute_loss_from_embeddings(list(sides), label), embeddings)


@pytest.fixture(scope="session")
def _student():
    return tiny_sentence_transformer(seed=1)


@pytest.fixture
def student(_student):
    return copy.deepcopy(_student)


@dataclass
class Flat:
    """A batch in the flat form; ``embeddings`` and ``label`` are what a loss takes."""

    queries: torch.Tensor
    documents: torch.Tensor
    scores: torch.Tensor
    index: torch.Tensor
    positive: torch.Tensor

    @property
    def embeddings(self):
        return [self.queries, self.documents]

    @property
    def label(self):
        return {"scores": self.scores, "index": self.index, "positive": self.positive}

    def with_targets(self, seed=0):
        """The label with another model's embeddings."""
        generator = torch.Generator().manual_seed(seed)
        sides = {"query_targets": self.queries, "document_targets": self.documents}
        targets = {key: torch.randn(side.shape, generator=generator, dtype=side.dtype) for key, side in sides.items()}
        return self.label | targets

    def masked(self):
        """(U,) documents that are no valid candidate of any query."""
        valid = (self.index >= 0) & self.scores.isfinite().all(dim=1)
        return ~torch.isin(torch.arange(len(self.documents)), self.index[valid])


def flat_batch(seed, *, batch=5, scorers=2, width=6, documents=14, dim=4, dtype=torch.float64):
    """Passages shared between queries, lists padded with -1, unknown scores, and 0 to 2 positives per query."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    index = torch.stack([torch.randperm(documents, generator=generator)[:width] for _ in range(batch)])
    lengths = torch.randint(1, width + 1, (batch,), generator=generator)
    lengths[0], lengths[1] = width, 1
    index[torch.arange(width) >= lengths[:, None]] = -1
    scores = 3 * normal(batch, scorers, width)
    unknown = torch.rand(batch, scorers, width, generator=generator) < 0.1
    scores[unknown] = torch.tensor([torch.nan, -torch.inf], dtype=dtype)[int(seed) % 2]
    positive = torch.rand(batch, width, generator=generator) < 0.3
    queries, texts = normal(batch, dim).requires_grad_(), normal(documents, dim).requires_grad_()
    return Flat(queries, texts, scores, index, positive)


def column_batch(seed, *, batch=4, scorers=2, width=5, dim=4, dtype=torch.float64):
    """(embeddings, label) in the host's column form, with unknown scores."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = [torch.randn(batch, dim, generator=generator, dtype=dtype).requires_grad_() for _ in range(width + 1)]
    scores = 3 * torch.randn(batch, scorers, width, generator=generator, dtype=dtype)
    scores[0, 0, 1] = scores[1, -1, 3] = scores[3, 0, 0] = torch.nan
    scores[2, :, 1:] = -torch.inf  # a list of one
    return embeddings, scores
