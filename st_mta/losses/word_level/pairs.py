"""Which query is read with which passage."""

from __future__ import annotations

import torch
from torch import Tensor

from st_mta.errors import InputError
from st_mta.losses.batch import Labels


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
