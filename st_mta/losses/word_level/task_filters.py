"""Task-aware filters: linear maps of both models' layers that keep what tells relevant passages from others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.losses.batch import Labels, ListwiseBatch, read_batch
from st_mta.losses.info_nce import info_nce
from st_mta.losses.shares import shares_of
from st_mta.losses.similarity import Similarity, mean_over, student_logits
from st_mta.losses.word_level.alignment import Alignment

Pooled = Sequence[Tensor]
"""Of the queries (B, D), and of the passages (U, D)."""


def make_filter(width: int) -> nn.Linear:
    """A teacher's filter, which begins with letting everything pass."""
    linear = nn.Linear(width, width, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.eye(width))
    return linear


def pooled_states(states: Tensor, alignment: Alignment) -> Tensor:
    """(P, I, D) -> (P, D): the mean over the tokens that are compared, without gradient; zero where there are none."""
    weights = alignment.compared.to(states.dtype)[..., None]
    pooled: Tensor = (states.detach() * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
    return pooled


def lists_of(pooled: Pooled, labels: Labels | None) -> ListwiseBatch:
    """The pooled states as a batch of lists, in either form of labels.

    Raises:
        InputError: If there are no labels, which say what is relevant.
    """
    if labels is None:
        raise InputError(
            expected="a label for filters, to know the passages of each query",
            got="no label",
            consequence="there would be no task to fit the filters for",
            remedy="give the teacher's scores as label, or another projection",
        )
    queries, documents = pooled
    columns = [documents] if isinstance(labels, dict) else list(torch.split(documents, len(queries)))
    return read_batch([queries, *columns], labels)


def task_loss(pooled: Pooled, labels: Labels | None, similarity: Similarity, scale: float) -> Tensor:
    """Mean cross entropy of the positives among a query's own valid candidates, by filtered and pooled states.

    The mean is over the queries with a positive and at least two candidates, of all processes.
    """
    batch = lists_of(pooled, labels)
    logits = student_logits(batch.queries, batch.documents, similarity, scale).gather(1, batch.index)
    values = info_nce(logits, batch.positive, batch.mask & ~batch.positive)
    return mean_over(values, batch.counts & batch.positive.any(dim=-1), shares_of(batch).positives)
