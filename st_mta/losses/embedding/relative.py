"""Which pairs of pairs of a batch the student has in another order than its teacher, counted by sorting."""

from __future__ import annotations

import torch
from torch import Tensor


def misordered(similarities: Tensor, targets: Tensor, margin: float) -> Tensor:
    """Mean over pairs (p, q) of relu(s_p - s_q + margin) for t_p < t_q, in O(m log m) time and O(m) memory.

    For every value it is enough to know how many others it has to be compared with: with c_p the number of q above p
    for the teacher and not by the margin for the student, and d_q the number of such p below q, the sum is
    sum_p s_p (c_p - d_p) + margin * sum_p c_p, and c_p - d_p is its gradient.

    Args:
        similarities: (m,) the student's, with gradient.
        targets: (m,) the teacher's; equal ones have no order and count 0.
        margin: By how much the student should have them apart, positive.

    Returns:
        Scalar, the sum divided by m (m - 1) / 2; 0 where m < 2.

    Example:
        >>> misordered(torch.tensor([0.5, 0.2]), torch.tensor([0.1, 0.9]), 0.01)
        tensor(0.3100)
    """
    if len(similarities) < 2:
        return 0.0 * similarities.sum()
    with torch.no_grad():
        order = _order(similarities, targets)
        above, below = _reached(similarities[order], margin)
        after, before = _tied(targets[order])
        above, below = above - after, below - before
        pairs_of_pairs = len(order) * (len(order) - 1) / 2
        pull = (above - below).to(similarities) / pairs_of_pairs
        constant = margin * above.sum().to(similarities) / pairs_of_pairs
    return (similarities[order] * pull).sum() + constant


def _order(similarities: Tensor, targets: Tensor) -> Tensor:
    """Ascending for the teacher, and among its ties descending for the student."""
    order = similarities.argsort(descending=True, stable=True)
    return order[targets[order].argsort(stable=True)]


def _reached(values: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """(m,), (m,): how many later values each reaches over with the margin, and how many earlier ones reach over it.

    Every value is there twice, raised by the margin and plain, sorted once. Then blocks of places are halved until a
    block is one place: in each, raised values of the left half meet plain ones of the right half in sorted order, so
    that running counts say how many lie below; a stable partition keeps the order.
    """
    size = len(values)
    # Stable, raised ones first: equality is no reaching over.
    item = torch.cat([values + margin, values]).argsort(stable=True)
    plain, place = item >= size, item % size
    counts = torch.zeros_like(place)
    index = torch.arange(2 * size, device=values.device)
    for bit in range((size - 1).bit_length() - 1, -1, -1):
        half, right = 1 << bit, (place >> bit) & 1 == 1
        earlier = (place >> (bit + 1)) * half  # places in either half of all blocks before; they are full
        reached = (plain & right).cumsum(0) - earlier
        reaching = half - ((~plain & ~right).cumsum(0) - earlier)
        counts += torch.where(plain, right * reaching, ~right * reached)
        rights = right.cumsum(0)
        rank = torch.where(right, rights, index + 1 - rights) - 1 - 2 * earlier
        target = 2 * half * (place >> bit) + rank
        plain, place, counts = (_moved(one, target) for one in (plain, place, counts))
    found = torch.zeros((2, size), dtype=torch.int64, device=values.device)
    found[plain.long(), place] = counts
    return found[0], found[1]


def _moved(values: Tensor, target: Tensor) -> Tensor:
    return torch.empty_like(values).scatter_(0, target, values)


def _tied(targets: Tensor) -> tuple[Tensor, Tensor]:
    """(m,), (m,): how many equal ones come after and before each of the ascending values.

    In the order of ``_order`` every value reaches over all that are tied with it and come later.
    """
    place = torch.arange(len(targets), device=targets.device)
    targets = targets.contiguous()
    return torch.searchsorted(targets, targets, right=True) - 1 - place, place - torch.searchsorted(targets, targets)
