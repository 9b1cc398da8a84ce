"""A map from the student's width to the teacher's, kept by a loss and equal in all processes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils import parametrizations

from st_mta.over_processes import num_processes, summed

Projection = Literal["auto", "learned", "orthogonal", "none"]
SHARED = "_st_mta_gradient_is_shared"
"""Attribute of a parameter whose gradient is the mean of all processes' already."""


def make_projection(kind: Projection, width: int, teacher_width: int) -> nn.Module:
    """A linear map without bias from the student's D to the teacher's, or none.

    "learned"; "orthogonal", its rows or columns always orthonormal (https://arxiv.org/abs/2403.06213); "none"; or
    "auto" for "learned" where widths differ and "none" otherwise.
    """
    if kind == "none" or (kind == "auto" and width == teacher_width):
        return nn.Identity()
    linear = nn.Linear(width, teacher_width, bias=False)
    return parametrizations.orthogonal(linear) if kind == "orthogonal" else linear


def share_gradients(module: nn.Module) -> None:
    """Gives all processes the mean of their gradients, which the trainer does not do for a loss's parameters."""
    share_gradients_of(module.parameters())


def share_gradients_of(parameters: Iterable[Tensor]) -> None:
    """The same for single parameters; those for which it is done already are left as they are."""
    for parameter in parameters:
        if not hasattr(parameter, SHARED):
            setattr(parameter, SHARED, True)
            parameter.register_hook(_mean_over_processes)  # type: ignore[no-untyped-call]


@torch.no_grad()
def share_weights(module: nn.Module) -> None:
    """Gives all processes the weights of the first, and its buffers, in which orthogonal ones have their origin."""
    share_weights_of((*module.parameters(), *module.buffers()))


@torch.no_grad()
def share_weights_of(tensors: Iterable[Tensor]) -> None:
    """The same for single tensors."""
    if num_processes() > 1:
        for tensor in tensors:
            distributed.broadcast(tensor, src=0)


def _mean_over_processes(gradient: Tensor) -> Tensor:
    return gradient if num_processes() == 1 else summed(gradient).div_(float(num_processes()))
