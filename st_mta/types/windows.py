"""Passages that are windows of longer documents."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from st_mta.types.arrays import IntArray
from st_mta.types.ragged import numbers_within
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
