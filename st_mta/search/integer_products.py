"""Embeddings rounded to 8-bit integers, and their inner products."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from st_mta.types import FloatArray

GROUP = 16  # passages that share a scale; the search looks at their maximum first
LARGEST = 127

_of_thread = threading.local()


@cache
def integer_products_are_fast() -> bool:
    """Whether this CPU multiplies 8-bit integers several times faster than float32 (VNNI), and torch does so exactly.

    Without VNNI, or where the environment keeps oneDNN from it, sums of two products are cut off at 16 bits.
    """
    supported = getattr(torch.cpu, "_is_vnni_supported", None)
    if not hasattr(torch, "_int_mm") or supported is None or not supported():
        return False
    largest = torch.full((64, 64), LARGEST, dtype=torch.int8)
    return bool((torch._int_mm(largest, largest) == 64 * LARGEST**2).all())


@dataclass(frozen=True)
class RoundedPassages:
    """A block of passages in integers; those at g, g + n, g + 2n, ... make up group g of n.

    Attributes:
        integers: (GROUP * n, D) the rounded passages, then padding.
        scales: (n,) what the integers of each group count.
        length: Passages.
    """

    integers: Tensor
    scales: Tensor
    length: int


def round_passages(passages: Tensor, mean: Tensor) -> RoundedPassages:
    """Passages (n, D) less the mean (D,) of all, in integers."""
    groups = -(-len(passages) // GROUP)
    centred = passages.new_zeros(GROUP * groups, passages.shape[1])
    torch.sub(passages, mean, out=centred[: len(passages)])
    grouped = centred.view(GROUP, groups, -1)
    scales = _scales(torch.maximum(grouped.amax(dim=2), -grouped.amin(dim=2)).amax(dim=0))
    integers = grouped.div_(scales[:, None]).round_().to(torch.int8).view(len(centred), -1)
    return RoundedPassages(integers, scales, len(passages))


@dataclass(frozen=True)
class RoundedQueries:
    """Some queries in integers.

    Attributes:
        integers: (D, Q).
        scales: (Q,) what the integers of each query count.
        offsets: (Q,) each query's product with the mean, which the passages lack.
    """

    integers: Tensor
    scales: FloatArray
    offsets: FloatArray


def round_queries(queries: Tensor, mean: Tensor) -> RoundedQueries:
    """Queries (Q, D) in integers."""
    scales = _scales(queries.abs().amax(dim=1))
    integers = (queries / scales[:, None]).round_().to(torch.int8).T.contiguous()
    return RoundedQueries(integers, scales.numpy(), (queries @ mean).numpy())


def _scales(highest: Tensor) -> Tensor:
    """What one step of the integers counts, so that the highest value is the largest integer."""
    return (highest / LARGEST).clamp_min(torch.finfo(torch.float32).tiny)


def integer_products(passages: RoundedPassages, queries: RoundedQueries) -> Tensor:
    """(GROUP, n, Q) int32 products, valid until the thread's next ones; padding is lower than all."""
    rows, columns = len(passages.integers), queries.integers.shape[1]
    products = _scratch(rows * columns).view(rows, columns)
    torch._int_mm(passages.integers, queries.integers, out=products)
    products[passages.length :] = torch.iinfo(torch.int32).min
    return products.view(GROUP, -1, columns)


def _scratch(size: int) -> Tensor:
    """Memory for products that a thread writes again and again: new pages each time would take as long as they do."""
    if not hasattr(_of_thread, "products") or _of_thread.products.numel() < size:
        _of_thread.products = torch.empty(size, dtype=torch.int32)
    scratch: Tensor = _of_thread.products[:size]
    return scratch
