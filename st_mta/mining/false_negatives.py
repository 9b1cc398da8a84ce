"""Leaves out candidates that a teacher takes for unlabelled positives."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.types import BoolArray, Candidates, FloatArray, IntArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Filtered:
    """What a filter left.

    Attributes:
        candidates: The lists, possibly shorter.
        kept: (P,) bool, which of the pairs before are still there; selects what lies beside them, as scores do.
        rate: Share of the pairs that were left out.
        rescued: Queries that would have lost every negative and got the one nearest to the threshold back.
    """

    candidates: Candidates
    kept: BoolArray
    rate: float
    rescued: int


def drop_false_negatives(
    candidates: Candidates, scores: FloatArray, filter: DynamicFilter, iteration: int = 0
) -> Filtered:
    """Leaves out every negative that the teacher scores above the filter's threshold.

    The threshold of a query follows the lowest score among its positives; a query without one keeps everything. A
    query whose negatives would all go keeps the one nearest to the threshold, and a warning says how many did.

    Args:
        candidates: Q queries with P pairs.
        scores: (P,) the teacher's raw scores; a pair with NaN stays.
        filter: Says what is too high.
        iteration: Which margin of its schedule holds.

    Raises:
        InputError: If the filter has a temperature: a passage is in a list or it is not.

    Example:
        ::

            lists = mine(collection, queries, [BM25()], qrels)
            scores = teacher.score(collection.queries, collection.corpus, lists.pair_queries, lists.passages)
            lists = drop_false_negatives(lists, scores, DynamicFilter(relative_margin=0.05)).candidates
    """
    if filter.temperature is not None:
        raise InputError(
            expected="a filter without temperature",
            got=str(filter),
            remedy="leave the temperature out here (lists have no weights), or use FilteredContrastiveLoss",
        )
    known = _lowest_positive(candidates, scores)[candidates.rows]
    rejected = ~candidates.positive & filter.rejects(scores, known, iteration)
    back = _nearest_to_the_threshold(candidates, scores, rejected)
    rejected[back] = False
    if len(back):
        logger.warning(
            f"The filter took every negative of {len(back):,} of {len(candidates):,} queries away; each got the one "
            "nearest to its threshold back. If these are many, use a smaller margin."
        )
    rate = float(rejected.mean()) if len(rejected) else 0.0
    return Filtered(candidates.keep(~rejected), ~rejected, rate, len(back))


def _lowest_positive(candidates: Candidates, scores: FloatArray) -> FloatArray:
    """(Q,) the lowest score of a positive; NaN where there is none."""
    lowest = np.full(len(candidates), np.nan, dtype=scores.dtype)
    np.fmin.at(lowest, candidates.rows[candidates.positive], scores[candidates.positive])
    return lowest


def _nearest_to_the_threshold(candidates: Candidates, scores: FloatArray, rejected: BoolArray) -> IntArray:
    """For each query all of whose negatives are rejected, the pair of the lowest of them; ties go to the first."""
    rows = candidates.rows
    left = np.bincount(rows[~candidates.positive & ~rejected], minlength=len(candidates))
    lost = np.flatnonzero(rejected & (left[rows] == 0))
    order = lost[np.lexsort((scores[lost], rows[lost]))]
    return order[np.unique(rows[order], return_index=True)[1]]
