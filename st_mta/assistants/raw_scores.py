"""Scores as they come from a scorer or a user: whether they are numbers and tell candidates apart."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from st_mta.errors import InputError


def check_scores(name: str, scores: Tensor, mask: Tensor | None = None) -> None:
    """Refuses scores that are not numbers.

    Args:
        name: The scorer's name, for the message.
        scores: Scores of any shape.
        mask: Bool of the same shape, True where a score is expected; default everywhere.

    Raises:
        InputError: With the number of NaN or infinite scores and the place of the first.
    """
    expected = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    bad = ~scores.isfinite() & expected
    count = int(bad.sum())
    if count == 0:
        return
    first = tuple(bad.nonzero()[0].tolist())
    raise InputError(
        expected=f"finite scores from {name}",
        got=f"{count} of {int(expected.sum())} NaN or infinite, the first is {scores[first].item()} at {first}",
        consequence="the loss and every gradient would become NaN",
        remedy="score these pairs again in float32, or mask them",
    )


def check_shape(what: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raises ``InputError`` unless the tensor has the shape; ``what`` it is, for the message."""
    if tuple(tensor.shape) == tuple(shape):
        return
    raise InputError(
        expected=f"{what} to have the shape {tuple(shape)}",
        got=str(tuple(tensor.shape)),
        consequence="scores would be taken for those of another scorer or candidate",
        remedy="give the teacher and every assistant one row each, in pool order, and every candidate one column",
    )


def queries_with_spread(name: str, scores: Tensor, mask: Tensor) -> Tensor:
    """Which queries' valid scores are not all equal.

    Args:
        name: The scorer's name, for the message.
        scores: (Q, N) scores; masked ones may be anything.
        mask: (Q, N) bool, True for a valid candidate.

    Returns:
        (Q,) bool.

    Raises:
        InputError: If there is no such query.
    """
    highest = scores.masked_fill(~mask, -torch.inf).amax(dim=-1)
    lowest = scores.masked_fill(~mask, torch.inf).amin(dim=-1)
    varied = highest > lowest
    if not bool(varied.any()):
        raise InputError(
            expected=f"scores of {name} that differ within a query",
            got=f"{len(scores)} queries whose scores are constant",
            consequence="this scorer would teach that all candidates are alike",
            remedy="check the scorer, or leave it out",
        )
    return varied
