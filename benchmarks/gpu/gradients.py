"""Value and gradient of every loss of a run, on a batch that st_mta's collator makes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.util import batch_to_device
from torch import nn

from benchmarks.gpu.material import Models
from benchmarks.gpu.trainings import ASSISTANTS, loss_of, targets_of
from st_mta.losses import LOSSES, CachedFilteredContrastiveLoss
from st_mta.precision import PRECISIONS
from st_mta.scorers import BiEncoderScorer
from st_mta.training.collator import FlatDocumentsCollator, listwise_dataset
from st_mta.training.regression import regression_embeddings
from st_mta.training.students import DOCUMENTS, set_dropout

ROWS = 8
MakeLoss = Callable[[SentenceTransformer, torch.device], nn.Module]


class Gradients:
    """Computes losses on one batch, with the scores of a teacher and three assistants and embeddings to regress to.

    Args:
        models: What to work on.
        rows: Queries of the batch.
    """

    def __init__(self, models: Models, rows: int = ROWS) -> None:
        self.models = models
        self.student = SentenceTransformer(models.speed.student, device="cpu")
        set_dropout(self.student, 0.0)
        target = BiEncoderScorer(SentenceTransformer(models.speed.retriever, device="cpu"), precision="fp32")
        collator = FlatDocumentsCollator(
            self.student.preprocess,
            corpus=models.collection.corpus,
            targets=regression_embeddings(target, models.collection),
        )
        dataset = listwise_dataset(models.scored(len(ASSISTANTS)), models.collection.queries)
        self.batch = collator([dataset[row] for row in range(rows)])

    def of(self, make: MakeLoss, device: torch.device, precision: str) -> tuple[float, torch.Tensor]:
        """The loss, and its gradient for all of the student's weights in one row."""
        student = copy.deepcopy(self.student).to(device).train()
        loss = make(student, device)
        features, label = columns(batch_to_device(self.batch, device))
        with torch.autocast(device.type, PRECISIONS["bf16"], enabled=precision == "bf16"):
            value = loss(features, label)
        value.backward()
        weights = [weight for weight in student.parameters() if weight.requires_grad]
        found = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        return float(value.detach()), torch.cat([gradient.flatten() for gradient in found]).float().cpu()

    def losses(self) -> Iterator[tuple[str, MakeLoss]]:
        """Every loss by its word, and the one that no word names."""
        for word in LOSSES:
            yield word, partial(self._by_word, word)
        yield "cached filtered contrastive", lambda student, _: CachedFilteredContrastiveLoss(student)

    def _by_word(self, word: str, student: SentenceTransformer, device: torch.device) -> nn.Module:
        options = {"contrastive_weight": 0.1, "regression_weight": 1.0}
        return loss_of(word, student, targets_of(len(ASSISTANTS)), self.models, device, **options)


def columns(batch: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
    """The features of each column, the query's first, and the label, as the host's trainer hands them over."""
    names = [key.removesuffix("_input_ids") for key in batch if key.endswith("_input_ids")]
    names.sort(key=lambda name: (name != "query", int(name.removeprefix(f"{DOCUMENTS}_")) if name != "query" else 0))
    features = [
        {key.removeprefix(f"{name}_"): value for key, value in batch.items() if key.startswith(f"{name}_")}
        for name in names
    ]
    return features, batch["label"]
