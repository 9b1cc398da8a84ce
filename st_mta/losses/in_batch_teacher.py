"""A teacher's scores of every query of a batch with every passage of it, from what the label carries."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.over_processes import num_processes

QUERIES, DOCUMENTS, SCORES = "teacher_queries", "teacher_documents", "teacher_in_batch"
"""Keys of the label: both sides' embeddings or token vectors, or the finished scores."""


@dataclass(frozen=True)
class InBatchTeacher:
    """One of three forms, each in float32 or wider and without gradient.

    Attributes:
        queries: (B, D') embeddings, or (B, L, D') token vectors, NaN where a query has fewer tokens; None with scores.
        documents: (U, D') or (U, M, D'), the same of the passages.
        scores: (B, U) of any teacher, NaN where it has none.
    """

    queries: Tensor | None = None
    documents: Tensor | None = None
    scores: Tensor | None = None

    def compare(self, documents: Tensor | None) -> Tensor:
        """(B, U') the scores of all queries with these passages, which are those of the label by default."""
        if self.scores is not None:
            return self.scores
        assert self.queries is not None and documents is not None
        with torch.autocast(self.queries.device.type, enabled=False):
            return max_sim(self.queries, documents) if self.queries.ndim == 3 else self.queries @ documents.T


def max_sim(queries: Tensor, documents: Tensor) -> Tensor:
    """Late interaction: the sum over query tokens of the largest dot product with a passage token.

    Khattab and Zaharia (2020, https://arxiv.org/abs/2004.12832), Eq. (3).

    Args:
        queries: (B, L, D') token vectors, NaN behind a query's last.
        documents: (U, M, D'), the same of passages.

    Returns:
        (B, U); 0 where query or passage has no token at all.
    """
    missing = documents.isnan().any(dim=-1)
    flat = documents.nan_to_num(0.0).flatten(0, 1)

    def one(query: Tensor) -> Tensor:
        real = ~query.isnan().any(dim=-1)
        similarities = (query.nan_to_num(0.0) @ flat.T).view(-1, *missing.shape)  # (L, U, M)
        largest = similarities.masked_fill(missing, -torch.inf).amax(dim=-1)
        return largest.masked_fill(~largest.isfinite() | ~real[:, None], 0.0).sum(dim=0)

    # A query at a time: all of them at once would take B times the memory.
    return torch.stack([one(query) for query in queries])


@torch.no_grad()
def teacher_of(labels: dict[str, Tensor], num_queries: int, num_documents: int, *, gathered: bool) -> InBatchTeacher:
    """What the label carries of a teacher that scores whole batches.

    Args:
        labels: The flat form's.
        num_queries: B.
        num_documents: U.
        gathered: Whether it has to score the passages of other processes too.

    Raises:
        InputError: If the label carries nothing of the kind, or of another shape, or scores alone where passages of
            other processes are candidates.
    """
    found = {name: widen(labels[name].detach()) for name in (QUERIES, DOCUMENTS, SCORES) if name in labels}
    if SCORES in found and QUERIES not in found:
        _check(SCORES, found[SCORES], (num_queries, num_documents), 2)
        if gathered and num_processes() > 1:
            raise _only_scores()
        return InBatchTeacher(scores=found[SCORES])
    if QUERIES not in found or DOCUMENTS not in found:
        raise _nothing(labels)
    queries, documents = found[QUERIES], found[DOCUMENTS]
    _check(QUERIES, queries, (num_queries,), queries.ndim)
    _check(DOCUMENTS, documents, (num_documents,), queries.ndim)
    if queries.ndim not in (2, 3) or queries.shape[-1] != documents.shape[-1]:
        raise InputError(
            expected=f"{QUERIES} (B, D') and {DOCUMENTS} (U, D') of one teacher, or its token vectors (B, L, D') and "
            "(U, M, D')",
            got=f"{tuple(queries.shape)} and {tuple(documents.shape)}",
            remedy="take both from the same model",
        )
    return InBatchTeacher(queries, documents.to(queries.dtype))


def _check(name: str, values: Tensor, begins: tuple[int, ...], ndim: int) -> None:
    if values.ndim != ndim or values.shape[: len(begins)] != begins:
        raise InputError(
            expected=f"{name} with the shape {begins}{'' if ndim == len(begins) else ' and more'}, {ndim} axes in all",
            got=str(tuple(values.shape)),
            remedy="give one row for each query and each passage of the batch, passages in the order of their columns",
        )


def _nothing(labels: dict[str, Tensor]) -> InputError:
    return InputError(
        expected=f"a label with {QUERIES} and {DOCUMENTS}, or {SCORES}, for candidates='in-batch'",
        got=", ".join(labels),
        consequence="nothing would say how the teacher scores a query with the passages of other queries",
        remedy="give the embeddings of a bi-encoder or the token vectors of a late-interaction teacher, or use "
        "candidates='list', for which the scores of a cross-encoder suffice",
    )


def _only_scores() -> InputError:
    return InputError(
        expected=f"{QUERIES} and {DOCUMENTS} where several processes gather their passages",
        got=f"{SCORES} alone",
        consequence="nobody would know the scores of this process's queries with the passages of the others",
        remedy="give the teacher's embeddings or token vectors, or train with gather_across_devices=False",
    )
