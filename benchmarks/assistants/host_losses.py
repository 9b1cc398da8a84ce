"""The host's own losses inside an iteration of st_mta: the same lists, the same forward passes, another loss."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.sampler import DefaultBatchSampler
from torch import Tensor, nn

from st_mta.losses.batch import ListwiseBatch, read_batch
from st_mta.losses.embedding import embed

Label = Callable[[ListwiseBatch], Any]


HostOwn = Any
"""A loss of the host with ``compute_loss_from_embeddings``, which its base class does not declare."""


class HostLoss(nn.Module):
    """A loss of Sentence Transformers on columns query, positive, negative_1, ... made from the flat batch.

    Every list must be full. The distinct passages of a batch are encoded once, as for st_mta's own loss, so arms
    differ in nothing but the loss.

    Args:
        model: The student.
        loss: A host's loss around the same model.
        label: What the host's loss takes as label, from the batch.
    """

    def __init__(self, model: SentenceTransformer, loss: HostOwn, label: Label) -> None:
        super().__init__()
        self.model, self.label = model, label
        self.loss: HostOwn = loss

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: dict[str, Tensor]) -> Tensor:
        """The host's loss of one batch."""
        batch = read_batch(embed(self.model, sentence_features, labels), labels)
        assert bool(batch.mask.all()), "the host's losses need full lists"
        columns = [batch.queries, *batch.documents[batch.index].unbind(dim=1)]
        value: Tensor = self.loss.compute_loss_from_embeddings(columns, self.label(batch))
        return value


class NoForeignPositives(DefaultBatchSampler):
    """Shuffled batches in which no query's relevant passage is listed for another query.

    What the host's NO_DUPLICATES does for MultipleNegativesRankingLoss, on rows that hold lists of passages. Queries
    that fit into no batch any more come in smaller batches at the end.
    """

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
        lists = zip(dataset["passages"], dataset["positive"])
        self.rows = [(set(p), {passage for passage, positive in zip(p, marks) if positive}) for p, marks in lists]
        self.batches = list(self._batches())

    def _batches(self) -> Iterator[list[int]]:
        waiting = np.random.default_rng(self.seed).permutation(len(self.rows)).tolist()
        while waiting:
            batch: list[int] = []
            listed: set[int] = set()
            positives: set[int] = set()
            later = []
            for row in waiting:
                passages, own = self.rows[row]
                if len(batch) == self.batch_size or own & listed or passages & positives:
                    later.append(row)
                    continue
                batch.append(row)
                listed |= passages
                positives |= own
            yield batch
            waiting = later

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, getattr(self, "epoch", 0)]).permutation(len(self.batches))
        return iter([self.batches[place] for place in order])

    def __len__(self) -> int:
        return len(self.batches)
