"""Embedding regression: the student's embeddings are pulled to those that a bi-encoder gave the same texts."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.shares import ALONE, BatchShares


def cosine_distance(embeddings: Tensor, targets: Tensor) -> Tensor:
    """(n, D), (n, D) -> (n,) in [0, 2]: one minus the cosine of each row with its target, which gets no gradient.

    In float32 or wider, also under autocast.

    Example:
        >>> cosine_distance(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0]]))
        tensor([0.4000])
    """
    embeddings = widen(embeddings)
    with torch.autocast(embeddings.device.type, enabled=False):
        return 1 - torch.cosine_similarity(embeddings, targets.detach().to(embeddings), dim=-1)


def embedding_regression(batch: ListwiseBatch, shares: BatchShares = ALONE) -> Tensor:
    """Mean cosine distance over the batch's queries plus the mean over its documents, as a scalar.

    Args:
        batch: With targets.
        shares: What its rows are a share of.

    Raises:
        InputError: If the label carries no embeddings to regress to, or they are not of the student's shape.
    """
    queries = _distances("query_targets", batch.queries, batch.query_targets)
    documents = _distances("document_targets", batch.documents, batch.document_targets)
    return shares.mean_of_queries(queries) + shares.mean_of_documents(documents)


def _distances(key: str, embeddings: Tensor, targets: Tensor | None) -> Tensor:
    if targets is None or targets.shape != embeddings.shape:
        raise InputError(
            expected=f"a label in the flat form with {key} of the shape {tuple(embeddings.shape)}",
            got="none" if targets is None else str(tuple(targets.shape)),
            remedy="add the embeddings of a bi-encoder of the student's dimension (documents in the order of their "
            "columns), or set regression_weight=0",
        )
    return cosine_distance(embeddings, targets)
