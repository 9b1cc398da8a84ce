"""What is compared with what: which query is read with which passage, which layer follows which layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from st_mta.errors import InputError
from st_mta.losses.batch import Labels

Layers = Literal["last", "uniform"] | Sequence[tuple[int, int]]


def layer_map(layers: Layers, student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Pairs (student's layer, teacher's layer), counted from 1.

    Args:
        layers: "last" for last to last; "uniform" for every layer of the student, layer i following the teacher's
            layer nearest to i / (student's number) of its depth; or the pairs themselves.
        student_layers: How many there are.
        teacher_layers: The same of the teacher.

    Raises:
        InputError: If the word is unknown, the list is empty, or a layer does not exist.

    Example:
        >>> layer_map("uniform", 3, 12)
        [(1, 4), (2, 8), (3, 12)]
    """
    if layers == "last":
        return [(student_layers, teacher_layers)]
    if layers == "uniform":
        # Rounded half up, and never the embeddings, where the student is the deeper one.
        nearest = [
            (2 * i * teacher_layers + student_layers) // (2 * student_layers) for i in range(1, student_layers + 1)
        ]
        return [(i, max(1, layer)) for i, layer in enumerate(nearest, start=1)]
    pairs = [(*pair,) for pair in layers if not isinstance(pair, str)]
    there = [len(pair) == 2 and 1 <= pair[0] <= student_layers and 1 <= pair[1] <= teacher_layers for pair in pairs]
    if not pairs or not all(there):
        raise InputError(
            expected=f"layers 'last', 'uniform' or pairs (1 to {student_layers}, 1 to {teacher_layers})",
            got=repr(layers),
            remedy="count layers from 1, the student's first in each pair",
        )
    return [(pair[0], pair[1]) for pair in pairs]


def candidate_pairs(
    num_queries: int, num_documents: int, labels: Labels | None, num_candidates: int | None, device: torch.device
) -> list[Tensor]:
    """Every query with its first candidates (None for all), positives before negatives.

    Labels are the flat form's dictionary, or anything else for the column form.

    Returns:
        (P,) row of the query and (P,) row of the passage of each pair.

    Raises:
        InputError: If columns are not equally long in the column form.
    """
    if isinstance(labels, dict):
        order = labels["positive"].int().argsort(dim=-1, descending=True, stable=True)
        index = labels["index"].gather(1, order)
    elif num_documents % num_queries:
        raise InputError(
            expected=f"document columns of {num_queries} rows, as many as queries",
            got=f"{num_documents} rows together",
            remedy="use columns (query, positive, negative_1, ...), or the flat form with its dictionary as label",
        )
    else:
        index = torch.arange(num_documents, device=device).reshape(-1, num_queries).T
    index = index[:, :num_candidates]
    rows, columns = (index >= 0).nonzero(as_tuple=True)
    return [rows, index[rows, columns]]
