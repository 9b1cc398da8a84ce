"""Sums over the processes of a data-parallel training, on the device of what is summed.

All processes have to come by, in the same order: what calls these functions is called on every process or on none.
"""

from __future__ import annotations

from torch import Tensor, distributed


def num_processes() -> int:
    """How many processes train together; 1 outside a launcher."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def summed(values: Tensor) -> Tensor:
    """The sum of all processes' values, without gradient; the values themselves where there is one process."""
    if num_processes() == 1:
        return values
    total = values.detach().clone().contiguous()
    distributed.all_reduce(total)
    return total
