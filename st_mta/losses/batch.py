"""What every listwise loss reads: candidates, scores and masks, from the host's column form or the flat form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from st_mta.distributions import widen
from st_mta.errors import InputError

Labels = Tensor | dict[str, Tensor]
"""The column form's tensor (B, N) or (B, S, N), or the flat form's dictionary of "scores", "index", "positive".

That dictionary may also carry "query_targets", "document_targets", "document_ids" and "document_groups", see
``ListwiseBatch``."""

FLAT_KEYS = ("scores", "index", "positive")


@dataclass(frozen=True)
class ListwiseBatch:
    """A batch's candidates, whichever form they came in.

    Attributes:
        queries: (B, D) embeddings with gradient.
        documents: (U, D) embeddings with gradient.
        scores: (B, S, N) raw scores, float32 or wider, detached; scorer 0 is the teacher.
        index: (B, N) int64 row in ``documents`` of each candidate, at least 0 also where masked.
        listed: (B, N) bool, whether the candidate names a document at all.
        mask: (B, N) bool, True for a valid candidate: listed, and scored by every scorer.
        positive: (B, N) bool, valid and relevant.
        query_targets: (B, D) embeddings that another model gave the queries, or None.
        document_targets: (U, D) the same of the documents.
        document_ids: (U,) int64, the same number for the same passage in all processes that train together, or None.
        document_groups: (U,) int64, the same number for passages that are judged as one, such as the windows of a
            document, in all processes that train together; None where each is judged by itself.
    """

    queries: Tensor
    documents: Tensor
    scores: Tensor
    index: Tensor
    listed: Tensor
    mask: Tensor
    positive: Tensor
    query_targets: Tensor | None = None
    document_targets: Tensor | None = None
    document_ids: Tensor | None = None
    document_groups: Tensor | None = None

    @property
    def counts(self) -> Tensor:
        """(B,) bool: rows with at least two valid candidates; the others teach nothing and do not count."""
        return self.mask.sum(dim=-1) >= 2

    def rows(self, rows: slice) -> ListwiseBatch:
        """Some of its queries, with all documents."""
        sides = ("queries", "scores", "index", "listed", "mask", "positive", "query_targets")
        kept = {name: value[rows] for name in sides if (value := getattr(self, name)) is not None}
        return replace(self, **kept)

    def over_documents(self, flags: Tensor, values: Tensor | None = None, empty: float = False) -> Tensor:
        """(B, N) flags of candidates -> (B, U): whether any flagged candidate of the query is this document.

        With ``values`` (B, N) the flagged candidate's value instead, and ``empty`` where there is none.
        """
        values = flags if values is None else values
        num_documents = len(self.documents)
        # Unflagged candidates write into one column too many, which is cut off: they must not overwrite a flagged one.
        index = torch.where(flags, self.index, num_documents)
        table = values.new_full((len(index), num_documents + 1), empty)
        return table.scatter_(1, index, values)[:, :num_documents]

    def roles(self, pool: Tensor) -> tuple[Tensor, Tensor]:
        """(B, U) bool each: a query's valid positives, and its negatives among the documents of the pool (U,).

        A candidate that is listed without a score (a likely false negative) is neither: other queries that list it do
        not make it a negative of this one. Neither is what is judged with a positive but no positive itself.
        """
        positive = self.over_documents(self.positive)
        negative = pool & ~positive & ~self.over_documents(self.listed & ~self.mask)
        return positive, negative if self.document_groups is None else negative & ~self.judged_with(positive)

    def judged_with(self, flags: Tensor) -> Tensor:
        """(B, U) flags of documents -> whether any flagged one is in the group of this document; itself is."""
        if self.document_groups is None:
            return flags
        groups = self.document_groups
        numbers = torch.searchsorted(groups.sort().values, groups)  # below U, and nothing is read back
        counts = torch.zeros_like(flags, dtype=torch.int32).index_add_(1, numbers, flags.int())
        return counts[:, numbers] > 0


def read_batch(embeddings: list[Tensor], labels: Labels | None) -> ListwiseBatch:
    """Reads either form of input; see ``ListwiseKLLoss`` for both.

    Args:
        embeddings: One tensor per column, the query's first.
        labels: The label as the host's trainer hands it over.

    Raises:
        InputError: If shapes do not fit each other, or there are fewer than two candidates.
    """
    if labels is None:
        raise InputError(
            expected="a label with the teacher's scores",
            got="no label",
            remedy="add a column 'label' with one score per candidate (or one list of scores per scorer)",
        )
    batch = _read_flat(embeddings, labels) if isinstance(labels, dict) else _read_columns(embeddings, labels)
    if batch.mask.shape[1] < 2:
        raise InputError(
            expected="at least two candidates per query",
            got=f"{batch.mask.shape[1]}",
            consequence="a softmax over one candidate is always 1, and loss and gradient would be zero",
            remedy="add a second candidate, for instance a mined negative",
        )
    return batch


def _read_columns(embeddings: list[Tensor], labels: Tensor) -> ListwiseBatch:
    """The host's form: columns (query, positive, negative_1, ...), one text per cell."""
    queries, columns = embeddings[0], embeddings[1:]
    num_queries, width = len(queries), len(columns)
    if labels.ndim not in (2, 3) or labels.shape[0] != num_queries or labels.shape[-1] != width:
        raise InputError(
            expected=f"a label (B, N) = {(num_queries, width)} or (B, S, N) = ({num_queries}, S, {width}), one column "
            "per candidate text column",
            got=f"a label {tuple(labels.shape)} and {width} candidate columns",
            remedy="give every query one score per candidate column; under MatryoshkaLoss a label as wide as the "
            "embedding is cut to each dimension, so choose another number of candidates or the flat form",
        )
    rows = torch.arange(num_queries, device=queries.device)
    index = rows[:, None] + num_queries * torch.arange(width, device=queries.device)
    scores = _as_scorers(labels)
    mask = scores.isfinite().all(dim=1)
    first = torch.zeros_like(mask)
    first[:, 0] = True
    return ListwiseBatch(queries, torch.cat(columns), scores, index, torch.ones_like(mask), mask, first & mask)


def _read_flat(embeddings: list[Tensor], labels: dict[str, Tensor]) -> ListwiseBatch:
    """The flat form: columns (query, documents, ...), and an index that counts through all document columns."""
    missing = [key for key in FLAT_KEYS if key not in labels]
    if missing or len(embeddings) < 2:
        raise InputError(
            expected=f"columns (query, documents, ...) and a label with the keys {', '.join(FLAT_KEYS)}",
            got=f"{len(embeddings)} columns and the keys {', '.join(labels)}",
            remedy="use st_mta's collator, or the column form with a tensor as label",
        )
    queries, documents = embeddings[0], torch.cat(embeddings[1:])
    scores, index, positive = _as_scorers(labels["scores"]), labels["index"], labels["positive"]
    shape = (len(queries), scores.shape[-1])
    if scores.ndim != 3 or not (scores[:, 0].shape == index.shape == positive.shape == shape):
        raise InputError(
            expected=f"scores ({len(queries)}, S, N), index ({len(queries)}, N) and positive ({len(queries)}, N)",
            got=", ".join(f"{key} {tuple(labels[key].shape)}" for key in FLAT_KEYS),
            remedy="make all three as long as the query column and equally wide, padded with -1 in the index",
        )
    listed = index >= 0
    mask = listed & scores.isfinite().all(dim=1)
    positive = positive.bool() & mask
    more = (labels.get(key) for key in ("query_targets", "document_targets", "document_ids", "document_groups"))
    return ListwiseBatch(queries, documents, scores, index.clamp(min=0), listed, mask, positive, *more)


def refuse_infinite(scores: Tensor) -> None:
    """Raises ``InputError`` for +inf, which would be the best score and count as a missing one."""
    if bool((scores == torch.inf).any()):
        raise InputError(
            expected="scores that are numbers, or NaN or -inf for a missing candidate",
            got=f"+inf in a label of shape {tuple(scores.shape)}",
            consequence="the candidate with the highest score would be left out",
            remedy="score in float32, since float16 ends at 65504, or write NaN where there is no score",
        )


def _as_scorers(labels: Tensor) -> Tensor:
    """(B, N) or (B, S, N), any dtype -> (B, S, N) float32 or wider without gradient."""
    scores = widen(labels.detach())
    if scores.device.type == "cpu":  # on an accelerator a look at every batch would hold it up: there the first one
        refuse_infinite(scores)
    return scores[:, None] if scores.ndim == 2 else scores
