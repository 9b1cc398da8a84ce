"""Embedding distillation beside a loss over lists: the same terms, over a batch's queries and documents."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from st_mta.errors import InputError
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.embedding.moving import SelectedSpaces
from st_mta.losses.embedding.spaces import EmbeddingSpaces
from st_mta.losses.embedding.terms import TERMS, embedding_terms
from st_mta.losses.gather import gather_rows
from st_mta.losses.shares import ALONE, BatchShares, copies_of_rows, ids_of


def list_terms(
    batch: ListwiseBatch,
    weights: Mapping[str, float],
    spaces: EmbeddingSpaces | None = None,
    *,
    shares: BatchShares = ALONE,
    across_devices: bool = False,
) -> dict[str, Tensor]:
    """The weighted terms by their words.

    Those over rows are the mean over the batch's queries plus the mean over its documents, since there are many more
    documents; those over the batch compare all of them with each other.

    Args:
        batch: With targets (B, D) of the queries and (U, D) of the documents.
        weights: Words of ``TERMS`` with their weights.
        spaces: The map between student and targets; None where both are in one space.
        shares: What the batch's rows are a share of.
        across_devices: Whether terms over the batch compare the texts of all processes.

    Raises:
        InputError: If the label carries no targets, or they are in another space than the student.
    """
    if isinstance(spaces, SelectedSpaces):
        spaces.choose(batch)
    sides = [_side(batch.queries, batch.query_targets, spaces), _side(batch.documents, batch.document_targets, spaces)]
    over_rows = {word: weight for word, weight in weights.items() if not TERMS[word].over_batch}
    found: dict[str, Tensor] = {}
    means = (None, None) if shares is ALONE else (shares.mean_of_queries, shares.mean_of_documents)
    for (student, targets, aligned), mean in zip(sides, means) if over_rows else ():
        for word, value in embedding_terms(student, targets, over_rows, aligned=aligned, mean=mean).items():
            found[word] = found[word] + value if word in found else value
    over_batch = {word: weight for word, weight in weights.items() if TERMS[word].over_batch}
    if over_batch:
        everyone, wanted = torch.cat([side[0] for side in sides]), torch.cat([side[1] for side in sides])
        if across_devices:
            copies = copies_of_rows(len(batch.queries), ids_of(batch))
            everyone, wanted = gather_rows(everyone, wanted, across_devices=True, copies=copies)
        found |= embedding_terms(everyone, wanted, over_batch)
    return found


def _side(
    student: Tensor, targets: Tensor | None, spaces: EmbeddingSpaces | None
) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Student, targets, and both in one space."""
    if targets is None or len(targets) != len(student):
        raise InputError(
            expected=f"a label in the flat form with targets of {len(student)} texts",
            got="none" if targets is None else str(tuple(targets.shape)),
            remedy="add the embeddings of a bi-encoder (documents in the order of their columns), or set "
            "regression_weight=0",
        )
    if spaces is None and targets.shape != student.shape:
        raise InputError(
            expected=f"targets of the student's shape {tuple(student.shape)}",
            got=str(tuple(targets.shape)),
            remedy="give a regression_map, or map the targets before",
        )
    return student, targets, (student, targets) if spaces is None else spaces.align(student, targets)
