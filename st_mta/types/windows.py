"""Passages that are windows of longer documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from st_mta.types.arrays import FloatArray, IntArray
from st_mta.types.ragged import numbers_within, starts_of
from st_mta.types.texts import Texts


@dataclass(frozen=True, eq=False)
class Windows:
    """What the passages of a corpus are cut from.

    Attributes:
        documents: The whole documents, D of them.
        document: (n,) position of the document of each window; the windows of a document follow each other.
        spans: (n, 2) begin and end of each window in its document's text, in characters.
        best: A document's score is the sum of those of so many of its windows, the best ones.
    """

    documents: Texts
    document: IntArray
    spans: IntArray
    best: int = 1

    @cached_property
    def lengths(self) -> IntArray:
        """(D,) windows of each document, at least one."""
        return np.bincount(self.document, minlength=len(self.documents))

    @cached_property
    def offsets(self) -> IntArray:
        """(D,) position of the first window of each document."""
        return np.cumsum(self.lengths) - self.lengths

    def of(self, documents: IntArray) -> IntArray:
        """The windows of these documents, one document after the other."""
        lengths = self.lengths[documents]
        windows: IntArray = np.repeat(self.offsets[documents], lengths) + numbers_within(lengths)
        return windows

    def sums(self, rows: IntArray, passages: IntArray, scores: FloatArray) -> tuple[IntArray, FloatArray]:
        """How many windows each document has in its list, and its score by them.

        Args:
            rows: (P,) ascending list of each window.
            passages: (P,) windows; those of a document follow each other in a list.
            scores: (P,), NaN where nothing is known.

        Returns:
            (G,) lengths of the G documents of all lists, together P, and (G,) their sums as of [`sum_of_best`].
        """
        starts = np.flatnonzero(starts_of(rows, self.document[passages]))
        lengths = np.diff(np.append(starts, len(rows)))
        return lengths, sum_of_best(scores, lengths, self.best)


def sum_of_best(scores: FloatArray, lengths: IntArray, best: int) -> FloatArray:
    """(G,) the sum of the ``best`` highest scores of each of G consecutive groups; NaN where none is known.

    Args:
        scores: (n,), NaN where nothing is known.
        lengths: (G,) of the groups, together n.
        best: How many count.
    """
    group = np.repeat(np.arange(len(lengths)), lengths)
    order = np.lexsort((-scores, group))  # NaN comes last
    ordered = scores[order].astype(np.float64)
    counted = (numbers_within(lengths) < best) & ~np.isnan(ordered)
    sums = np.bincount(group[counted], weights=ordered[counted], minlength=len(lengths))
    known = np.bincount(group[counted], minlength=len(lengths)) > 0
    return np.where(known, sums, np.nan).astype(np.float32)
