"""A map from the student's width to the teacher's, kept by a loss and equal in all processes."""

from __future__ import annotations

from typing import Literal

import torch
from sentence_transformers.util.distributed import get_world_size
from torch import Tensor, distributed, nn
from torch.nn.utils import parametrizations

Projection = Literal["auto", "learned", "orthogonal", "none"]


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
    for parameter in module.parameters():
        parameter.register_hook(_mean_over_processes)  # type: ignore[no-untyped-call]


@torch.no_grad()
def share_weights(module: nn.Module) -> None:
    """Gives all processes the weights of the first, and its buffers, in which orthogonal ones have their origin."""
    if get_world_size() > 1:
        for tensor in (*module.parameters(), *module.buffers()):
            distributed.broadcast(tensor, src=0)


def _mean_over_processes(gradient: Tensor) -> Tensor:
    if get_world_size() == 1:
        return gradient
    total = gradient.contiguous().clone()
    distributed.all_reduce(total)
    return total.div_(float(get_world_size()))
