"""An iteration's data and batches: each distinct passage is encoded once, whatever number of lists it is in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator

from st_mta.mining.copies import first_copies
from st_mta.scored import ScoredCandidates
from st_mta.stores.embeddings import Embeddings
from st_mta.training.in_batch import BatchTeacher
from st_mta.training.students import DOCUMENTS
from st_mta.training.tokenised import Features, Take, TokenisedTexts
from st_mta.types import BoolArray, IntArray, Texts, starts_of

MOST_PADDED = 4
"""Times the tokens of a column that its rows may take when they are padded, where nothing else says how to cut."""


def listwise_dataset(scored: ScoredCandidates, queries: Texts) -> Dataset:
    """One row per query: text, position, its passages' positions, which are positive, their grades, and all scores.

    Args:
        scored: Q queries with P pairs in all, scored by S scorers, the teacher's first.
        queries: The collection's queries.

    Returns:
        Columns ``query`` (text), ``query_position``, ``passages`` (N positions), ``positive`` (N booleans),
        ``grades`` (N integers) and ``scores`` (N lists of S).
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
            "grades": pa.ListArray.from_arrays(offsets, pa.array(lists.grades)),
            "scores": pa.ListArray.from_arrays(offsets, by_pair),
        }
    )
    return Dataset(table)


@dataclass
class TokenisingCollator(SentenceTransformerDataCollator):
    """The host's collator, for texts that are tokenised once where the host allows it, and else in every batch."""

    tokenised: dict[str, TokenisedTexts | None] = field(default_factory=dict, init=False, repr=False)

    def tokenise(self, dataset: Dataset | DatasetDict) -> None:
        """Tokenises all texts that the rows of a training mean."""
        raise NotImplementedError

    def token_ids(self) -> IntArray | None:
        """All token ids that batches can hold, ascending; None where that is not known."""
        known = [texts.ids() for texts in self.tokenised.values() if texts is not None]
        return np.unique(np.concatenate(known)) if known and len(known) == len(self.tokenised) else None

    def lengths(self, column: str, positions: IntArray, take: Take) -> IntArray:
        """(n,) lengths of a role's texts at these positions: in tokens where they are known, else in characters."""
        if (tokenised := self.tokenised.get(column)) is not None:
            return tokenised.lengths(positions)
        return np.array([len(text) for text in take(positions)], dtype=np.int64)

    def _tokenise(self, column: str, positions: IntArray, take: Take) -> None:
        """Tokenises one role's texts, with the prompt and the route of its column."""
        known = self.tokenised.get(column)
        if known is None or not known.has(positions):
            self.tokenised[column] = TokenisedTexts.of(lambda texts: self._by_host(column, texts), positions, take)

    def _features(self, column: str, positions: IntArray, take: Take) -> Features:
        """The texts at these positions as the features of a column."""
        tokenised = self.tokenised.get(_base_column(column))
        found = self._by_host(column, take(positions)) if tokenised is None else tokenised.batch(positions)
        return {f"{column}_{name}": value for name, value in found.items()}

    def _by_host(self, column: str, texts: list[str]) -> Features:
        """What the host makes of a column of texts, without the column's name."""
        batch = super().__call__([{column: text} for text in texts])
        return {name.removeprefix(f"{column}_"): value for name, value in batch.items()}


@dataclass
class FlatDocumentsCollator(TokenisingCollator):
    """Turns rows of [`listwise_dataset`] into one query column and the batch's U distinct passages, each text once.

    The passages are sorted by length and spread over columns ``documents_0``, ``documents_1``, ... of at most
    ``documents_per_forward`` texts, so that little is padded; the label's ``index`` (B, N) counts through them in
    that order. The label is a dictionary of tensors: ``scores`` (B, S, N), ``index`` (B, N; -1 is padding),
    ``positive`` (B, N) and ``grades`` (B, N; 0 where nothing is relevant); with ``targets`` also ``query_targets``
    (B, D) and ``document_targets`` (U, D). ``document_ids`` (U,) are positions in the corpus, by which processes that
    train together know what they share; with ``judged_as`` ``document_groups`` (U,) say which are judged as one. A
    text of several groups is in that of a query's positive.

    Args:
        corpus: The passages that the rows' positions mean.
        documents_per_forward: Texts per column; None puts all in one, or few longer texts into one of their own.
        columns: Without ``documents_per_forward``, into how many columns of as many texts each they are put at least.
        targets: "query" and "documents" -> an assistant's embeddings of all queries and passages, for embedding
            regression; empty leaves them out.
        teacher: Says what the label holds of a teacher of whole batches; None where lists are compared.
        judged_as: (n,) for every passage one that stands for all that are judged alike, as [`first_of_same`] gives it
            for the windows of a document; None where only copies are.
    """

    corpus: Texts | None = None
    documents_per_forward: int | None = None
    columns: int = 1
    targets: dict[str, Embeddings] = field(default_factory=dict)
    teacher: BatchTeacher | None = None
    judged_as: IntArray | None = None

    def tokenise(self, dataset: Dataset | DatasetDict) -> None:
        """Tokenises the queries and passages of all rows, and has the teacher encode them, unless it is done."""
        assert self.corpus is not None
        table = dataset.with_format("arrow")[:]
        queries, first = np.unique(table["query_position"].to_numpy(), return_index=True)
        texts = table["query"]
        self._tokenise("query", queries, lambda some: texts.take(first[np.searchsorted(queries, some)]).to_pylist())
        passages = table["passages"].combine_chunks().flatten().to_numpy()
        passages = first_copies(self.corpus)[passages]
        self._tokenise(DOCUMENTS, passages, self.corpus.take)
        if self.teacher is not None:
            self.teacher.prepare(queries, np.unique(passages))

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        assert self.corpus is not None
        queries = np.asarray([row["query_position"] for row in features], dtype=np.int64)
        batch = self._features("query", queries, lambda _: [row["query"] for row in features])
        listed = np.concatenate([np.asarray(row["passages"], dtype=np.int64) for row in features])
        flat = first_copies(self.corpus)[listed]  # a copy of a query's positive is no negative of that query
        distinct, inverse = np.unique(flat, return_inverse=True)
        lengths = self.lengths(DOCUMENTS, distinct, self.corpus.take)
        order = np.argsort(lengths, kind="stable")
        for number, chunk in enumerate(self._columns(order, lengths[order])):
            batch.update(self._features(f"{DOCUMENTS}_{number}", distinct[chunk], self.corpus.take))
        rank = np.empty_like(order)
        rank[order] = np.arange(len(order))
        batch["label"] = self._label(features, rank[inverse])
        batch["label"]["document_ids"] = torch.from_numpy(distinct[order])
        if self.judged_as is not None:
            positive = np.concatenate([np.asarray(row["positive"], dtype=bool) for row in features])
            groups = _groups(self.judged_as[listed], inverse, positive)
            batch["label"]["document_groups"] = torch.from_numpy(groups[order])
        if self.targets:
            batch["label"]["query_targets"] = torch.from_numpy(self.targets["query"].rows(queries))
            batch["label"]["document_targets"] = torch.from_numpy(self.targets[DOCUMENTS].rows(distinct[order]))
        if self.teacher is not None:
            batch["label"] |= self.teacher(queries, distinct[order])
        return batch

    def _columns(self, order: IntArray, lengths: IntArray) -> list[IntArray]:
        """Texts in ascending ``order`` of their ``lengths``, cut into columns."""
        most = self.documents_per_forward
        if most is None and self.columns > 1:
            most = max(1, -(-len(order) // self.columns))
        return _columns(order, lengths, most)

    def _label(self, rows: list[dict[str, Any]], index: np.ndarray) -> dict[str, torch.Tensor]:
        """Padded tensors over the longest list of the batch, two candidates wide at least.

        A process may be dealt lists of one candidate alone, which teach nothing and are no reason to end.
        """
        lengths = [len(row["passages"]) for row in rows]
        mask = torch.arange(max(2, *lengths)) < torch.tensor(lengths)[:, None]
        scores = np.concatenate([np.asarray(row["scores"], dtype=np.float32) for row in rows])
        padded_index = torch.full(mask.shape, -1, dtype=torch.int64)
        padded_index[mask] = torch.from_numpy(index)
        positive, grades = torch.zeros(mask.shape, dtype=torch.bool), torch.zeros(mask.shape, dtype=torch.int64)
        positive[mask] = torch.from_numpy(np.concatenate([np.asarray(row["positive"], dtype=bool) for row in rows]))
        grades[mask] = torch.from_numpy(np.concatenate([np.asarray(row["grades"], dtype=np.int64) for row in rows]))
        padded_scores = torch.full((*mask.shape, scores.shape[1]), float("nan"))
        padded_scores[mask] = torch.from_numpy(scores)
        scores_by_scorer = padded_scores.transpose(1, 2).contiguous()
        return {"scores": scores_by_scorer, "index": padded_index, "positive": positive, "grades": grades}

    def _get_prompt_for_column(self, prompts: str | dict[str, str], column_name: str) -> str | None:
        """All document columns share the prompt given for ``documents``."""
        return super()._get_prompt_for_column(prompts, _base_column(column_name))

    def _get_task_for_column(
        self, column_name: str, column_position: int, router_mapping: dict[str, str]
    ) -> str | None:
        """All document columns share the route given for ``documents``."""
        return super()._get_task_for_column(_base_column(column_name), column_position, router_mapping)


@dataclass
class RegressionCollator(TokenisingCollator):
    """Texts of one role with the embeddings that an assistant gave them as label (B, D).

    Rows are ``{"column": name, "position": int}``, all of one column.

    Args:
        texts: Column name -> the texts of that role.
        targets: Column name -> the assistant's embeddings of those texts.
    """

    texts: dict[str, Texts] = field(default_factory=dict)
    targets: dict[str, Embeddings] = field(default_factory=dict)

    def tokenise(self, dataset: Dataset | DatasetDict) -> None:
        """Tokenises the texts of all rows, unless it is done; ``dataset`` has the rows of each column."""
        for column, rows in dataset.items():
            self._tokenise(column, rows.with_format("numpy")["position"][:], self.texts[column].take)

    def __call__(self, features: list[dict[str, Any]]) -> dict[str, Any]:
        """Collates B rows."""
        column = features[0]["column"]
        positions = np.asarray([row["position"] for row in features], dtype=np.int64)
        batch = self._features(column, positions, self.texts[column].take)
        batch["label"] = torch.from_numpy(self.targets[column].rows(positions))
        return batch


def _groups(groups: IntArray, inverse: IntArray, positive: BoolArray) -> IntArray:
    """(U,) the group of each text from those (P,) of the passages with it, that of a positive before others."""
    first = np.lexsort((groups, ~positive, inverse))
    return groups[first][starts_of(inverse[first])]


def _columns(order: IntArray, lengths: IntArray, most: int | None) -> list[IntArray]:
    """Texts in ascending ``order`` of their ``lengths``, cut into columns.

    Without ``most``, one column, and more only where rows would be padded to more than four times their tokens.
    """
    if most:
        return np.array_split(order, -(-len(order) // most))  # near-equal, none above it
    ends = np.concatenate([[0], np.cumsum(lengths)])
    columns: list[IntArray] = []
    end = len(order)
    while end:
        padded = (end - np.arange(end)) * lengths[end - 1]
        start = int(np.argmax(padded <= MOST_PADDED * (ends[end] - ends[:end])))
        columns, end = [order[start:end], *columns], start
    return columns


def _base_column(column_name: str) -> str:
    return DOCUMENTS if column_name.startswith(DOCUMENTS) else column_name
