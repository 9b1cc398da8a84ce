"""Batches for a loss with in-batch negatives: no query's relevant passage is listed for another query."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers.base.sampler import DefaultBatchSampler


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
