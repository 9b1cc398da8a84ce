"""Which ranks of a retriever's list become candidates: pure functions on rank matrices.

Letters: Q queries, K ranks. Each function takes

- ``allowed`` (Q, K): which ranks may be picked,
- ``count`` (Q,): picks wanted for each query,
- ``random`` (Q, K): uniform random numbers in [0, 1), so that a function has no state,

and returns the pick order (Q, K): 0 for a query's first pick, 1 for its second, -1 where nothing is picked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from st_mta.types import BoolArray, IntArray, starts_of

Uniform = npt.NDArray[np.float64]
Sample = Callable[[BoolArray, IntArray, Uniform], IntArray]


def top(allowed: BoolArray, count: IntArray, random: Uniform) -> IntArray:
    """The best-ranked passages, best first (the host's "top"); ``random`` is not used."""
    order = np.cumsum(allowed, axis=1) - 1
    return np.where(allowed & (order < count[:, None]), order, -1)


def stratified(allowed: BoolArray, count: IntArray, random: Uniform) -> IntArray:
    """One passage from each of ``count`` equal spans of the allowed ranks: hard, middling and easy ones.

    The spans come in random order, so that no span is lost more often than another when several retrievers compete
    for the places of a query. All passages are picked where there are no more than wanted.
    """
    place = np.cumsum(allowed, axis=1) - 1
    total = allowed.sum(axis=1, keepdims=True)
    span = np.where(total <= count[:, None], place, place * count[:, None] // np.maximum(total, 1))
    # The lowest random number of a span picks its passage; those picked are then ordered by the same numbers.
    rows = np.broadcast_to(np.arange(len(allowed))[:, None], allowed.shape)[allowed]
    spans, numbers = span[allowed], random[allowed]
    order = np.lexsort((numbers, spans, rows))
    first = np.empty(len(order), dtype=bool)
    first[order] = starts_of(rows[order], spans[order])
    picked = np.zeros(allowed.shape, dtype=bool)
    picked[allowed] = first
    return sample_random(picked, count, random)


def sample_random(allowed: BoolArray, count: IntArray, random: Uniform) -> IntArray:
    """Passages drawn uniformly without replacement (the host's "random"), in the order of drawing."""
    order = np.argsort(np.where(allowed, random, np.inf), axis=1, kind="stable")
    numbered = np.empty(allowed.shape, dtype=np.int64)
    np.put_along_axis(numbered, order, np.broadcast_to(np.arange(allowed.shape[1]), allowed.shape), axis=1)
    return np.where(allowed & (numbered < count[:, None]), numbered, -1)


SAMPLING_STRATEGIES: dict[str, Sample] = {"top": top, "random": sample_random, "stratified": stratified}
