"""The batches of a cross-encoder: every query with each of its candidates, tokenised as pairs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from datasets import Dataset, DatasetDict

from st_mta.mining.copies import first_copies
from st_mta.training.collator import FlatDocumentsCollator

PAIRS = "pairs"
"""Name of the training column of pairs."""


@dataclass
class PairsCollator(FlatDocumentsCollator):
    """Turns rows of [`listwise_dataset`] into the batch's P pairs of a query with one of its passages.

    The pairs are sorted by length and spread over columns ``pairs_0``, ``pairs_1``, ... of at most
    ``documents_per_forward`` pairs, so that little is padded; the label's ``index`` (B, N) counts through them in
    that order. The label is that of [`FlatDocumentsCollator`], without embeddings and ids: a pair is in one list.

    Args:
        prompt: Before every query, as the student uses it.
    """

    prompt: str | None = None

    def tokenise(self, dataset: Dataset | DatasetDict) -> None:
        """Does nothing: pairs are tokenised in their batch, since there are as many of them as training reads."""

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        assert self.corpus is not None
        lists = [np.asarray(row["passages"], dtype=np.int64) for row in features]
        flat = first_copies(self.corpus)[np.concatenate(lists)]
        queries = list(chain.from_iterable([row["query"]] * len(one) for row, one in zip(features, lists)))
        passages = self.corpus.take(flat)
        lengths = np.array([len(query) + len(passage) for query, passage in zip(queries, passages)], dtype=np.int64)
        order = np.argsort(lengths, kind="stable")
        batch: dict[str, Any] = {}
        for number, chunk in enumerate(self._columns(order, lengths[order])):
            pairs = [(queries[place], passages[place]) for place in chunk]
            tokens = self.preprocess_fn(pairs, prompt=self.prompt)
            batch |= {f"{PAIRS}_{number}_{name}": value for name, value in tokens.items()}
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        batch["label"] = self._label(features, rank)
        return batch
