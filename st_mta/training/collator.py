"""An iteration's data and batches: each distinct passage is encoded once, whatever number of lists it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

from st_mta.mining.copies import first_copies
from st_mta.scored import ScoredCandidates
from st_mta.stores.embeddings import Embeddings
from st_mta.training.students import DOCUMENTS
from st_mta.types import Texts


def listwise_dataset(scored: ScoredCandidates, queries: Texts) -> Dataset:
    """One row per query: text, position, its passages' corpus positions, which of them are positive, and all scores.

    Args:
        scored: Q queries with P pairs in all, scored by S scorers, the teacher's first.
        queries: The collection's queries.

    Returns:
        Columns ``query`` (text), ``query_position``, ``passages`` (N positions), ``positive`` (N booleans) and
        ``scores`` (N lists of S).
    """
    lists = scored.candidates
    offsets = pa.array(lists.offsets.astype(np.int32))
    flat = pa.array(np.ascontiguousarray(scored.scores.T).reshape(-1))
    by_pair = pa.FixedSizeListArray.from_arrays(flat, len(scored.scores))
    table = pa.table(
        {
            "query": pa.array(queries.take(lists.queries)),
            "query_position": pa.array(lists.queries),
            "passages": pa.ListArray.from_arrays(offsets, pa.array(lists.passages)),
            "positive": pa.ListArray.from_arrays(offsets, pa.array(lists.positive)),
            "scores": pa.ListArray.from_arrays(offsets, by_pair),
        }
    )
    return Dataset(table)


@dataclass
class FlatDocumentsCollator(SentenceTransformerDataCollator):
    """Turns rows of [`listwise_dataset`] into one query column and the batch's U distinct passages, each text once.

    The passages are sorted by length and spread over columns ``documents_0``, ``documents_1``, ... of at most
    ``documents_per_forward`` texts, so that little is padded; the label's ``index`` (B, N) counts through them in
    that order. The label is a dictionary of tensors: ``scores`` (B, S, N), ``index`` (B, N; -1 is padding) and
    ``positive`` (B, N); with ``targets`` also ``query_targets`` (B, D) and ``document_targets`` (U, D).

    Args:
        corpus: The passages that the rows' positions mean.
        documents_per_forward: Texts per column; None puts all in one.
        targets: "query" and "documents" -> an assistant's embeddings of all queries and passages, for embedding
            regression; empty leaves them out.
    """

    corpus: Texts | None = None
    documents_per_forward: int | None = None
    targets: dict[str, Embeddings] = field(default_factory=dict)

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        assert self.corpus is not None
        batch: dict[str, Any] = super().__call__([{"query": row["query"]} for row in features])
        lengths = [len(row["passages"]) for row in features]
        flat = np.concatenate([np.asarray(row["passages"], dtype=np.int64) for row in features])
        flat = first_copies(self.corpus)[flat]  # a copy of a query's positive is no negative of that query
        distinct, inverse = np.unique(flat, return_inverse=True)
        texts = self.corpus.take(distinct)
        order = np.argsort([len(text) for text in texts], kind="stable")
        size = self.documents_per_forward or len(order)
        for number, chunk in enumerate(np.array_split(order, -(-len(order) // size))):  # near-equal, none above size
            column = f"{DOCUMENTS}_{number}"
            batch.update(super().__call__([{column: texts[position]} for position in chunk]))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        batch["label"] = self._label(features, lengths, rank[inverse])
        if self.targets:
            queries = np.asarray([row["query_position"] for row in features], dtype=np.int64)
            batch["label"]["query_targets"] = torch.from_numpy(self.targets["query"].rows(queries))
            batch["label"]["document_targets"] = torch.from_numpy(self.targets[DOCUMENTS].rows(distinct[order]))
        return batch

    def _label(self, rows: list[dict[str, Any]], lengths: list[int], index: np.ndarray) -> dict[str, torch.Tensor]:
        """Padded tensors over the longest list of the batch."""
        mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
        scores = np.concatenate([np.asarray(row["scores"], dtype=np.float32) for row in rows])
        padded_index = torch.full(mask.shape, -1, dtype=torch.int64)
        padded_index[mask] = torch.from_numpy(index)
        positive = torch.zeros(mask.shape, dtype=torch.bool)
        positive[mask] = torch.from_numpy(np.concatenate([np.asarray(row["positive"], dtype=bool) for row in rows]))
        padded_scores = torch.full((*mask.shape, scores.shape[1]), float("nan"))
        padded_scores[mask] = torch.from_numpy(scores)
        return {"scores": padded_scores.transpose(1, 2).contiguous(), "index": padded_index, "positive": positive}

    def _get_prompt_for_column(self, prompts: str | dict[str, str], column_name: str) -> str | None:
        """All document columns share the prompt given for ``documents``."""
        return super()._get_prompt_for_column(prompts, _base_column(column_name))

    def _get_task_for_column(
        self, column_name: str, column_position: int, router_mapping: dict[str, str]
    ) -> str | None:
        """All document columns share the route given for ``documents``."""
        return super()._get_task_for_column(_base_column(column_name), column_position, router_mapping)


@dataclass
class RegressionCollator(SentenceTransformerDataCollator):
    """Texts of one role with the embeddings that an assistant gave them as label (B, D).

    Rows are ``{"column": name, "position": int}``, all of one column.

    Args:
        texts: Column name -> the texts of that role.
        targets: Column name -> the assistant's embeddings of those texts.
    """

    texts: dict[str, Texts] = field(default_factory=dict)
    targets: dict[str, Embeddings] = field(default_factory=dict)

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        column = features[0]["column"]
        positions = np.asarray([row["position"] for row in features], dtype=np.int64)
        batch: dict[str, Any] = super().__call__([{column: text} for text in self.texts[column].take(positions)])
        batch["label"] = torch.from_numpy(self.targets[column].rows(positions))
        return batch


def _base_column(column_name: str) -> str:
    return DOCUMENTS if column_name.startswith(DOCUMENTS) else column_name
