"""The leading dimensions of a student that can do without the others (Matryoshka), as the host's loss cuts them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.losses.similarity import check_range

WHOLE: list[tuple[int | None, float]] = [(None, 1.0)]
"""No cut: embeddings as the student gives them."""


def cuts_of(dims: Sequence[int] | None, weights: Sequence[float] | None, width: int) -> list[tuple[int, float]]:
    """Numbers of dimensions with their weights, the most first.

    Raises:
        InputError: If there are more than the student has, or not as many weights.
    """
    if dims is None:
        return []
    weights = [1.0] * len(dims) if weights is None else [float(weight) for weight in weights]
    if not dims or len(dims) != len(weights) or not all(0 < dim <= width for dim in dims):
        raise InputError(
            expected=f"matryoshka_dims between 1 and the student's {width}, and one weight for each",
            got=f"{list(dims)} and {weights}",
            remedy="give for instance [384, 192, 96], and no weights for equal ones",
        )
    for weight in weights:
        check_range("matryoshka_weights", weight, 0 <= weight < float("inf"), "at least 0")
    return sorted(zip(dims, weights), reverse=True)


def cut(rows: Tensor, dim: int | None) -> Tensor:
    """(n, d) -> (n, dim) of length 1, in float32 or wider; None leaves them as they are."""
    return rows if dim is None else F.normalize(widen(rows)[:, :dim], dim=-1)
