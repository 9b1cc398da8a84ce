"""The targets of a batch, from whatever form of label: embeddings, row numbers, or the flat form's dictionary."""

from __future__ import annotations

from collections.abc import Callable
from typing import NoReturn

import torch
from torch import Tensor

from st_mta.errors import InputError
from st_mta.losses.batch import Labels


def read_targets(embeddings: list[Tensor], labels: Labels | None, look_up: Callable[[Tensor], Tensor]) -> Tensor:
    """(n, D) what the teacher gave the texts of all columns, under each other as ``torch.cat(embeddings)`` is.

    Args:
        embeddings: (B, d) per column, or the flat form's (B, d), (U_1, d), ...
        labels: (B, D) for one column or the same target in all, (B, C, D), row numbers (B,) or (B, C), or the
            dictionary with "query_targets" (B, D) and "document_targets" (U, D).
        look_up: Row numbers (n,) to targets (n, D).

    Raises:
        InputError: If the label has another shape, or is missing.
    """
    if isinstance(labels, dict):
        return _from_flat(embeddings, labels)
    if labels is None:
        _refuse(embeddings, "no label")
    numbers = not labels.is_floating_point()
    by_column = labels[..., None] if numbers else labels
    if by_column.ndim == 2:
        by_column = by_column[:, None].expand(-1, len(embeddings), -1)
    sizes = {len(column) for column in embeddings}
    if by_column.ndim != 3 or sizes != {len(by_column)} or by_column.shape[1] != len(embeddings):
        _refuse(embeddings, f"{tuple(labels.shape)} of {str(labels.dtype).removeprefix('torch.')}")
    targets = by_column.transpose(0, 1).flatten(0, 1)
    return look_up(targets.squeeze(1)) if numbers else targets


def _from_flat(embeddings: list[Tensor], labels: dict[str, Tensor]) -> Tensor:
    sides = labels.get("query_targets"), labels.get("document_targets")
    texts = len(embeddings[0]), sum(len(column) for column in embeddings[1:])
    if sides[0] is None or sides[1] is None or (len(sides[0]), len(sides[1])) != texts:
        shapes = ", ".join(f"{name} {tuple(one.shape)}" for name, one in labels.items() if name.endswith("_targets"))
        raise InputError(
            expected=f"a label with query_targets ({texts[0]}, D) and document_targets ({texts[1]}, D)",
            got=shapes or "none",
            remedy="add a bi-encoder's embeddings; FlatDocumentsCollator takes them as `targets`",
        )
    return torch.cat([sides[0], sides[1]])


def _refuse(embeddings: list[Tensor], got: str) -> NoReturn:
    rows, columns = len(embeddings[0]), len(embeddings)
    raise InputError(
        expected=f"a label with the teacher's embeddings, ({rows}, D) or ({rows}, {columns}, D) for {columns} columns",
        got=got,
        remedy="write `dataset = loss.label(dataset)` for a loss with teachers, or add a column 'label' yourself",
    )
