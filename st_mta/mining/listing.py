"""Candidates where a teacher has stored scores: what it did not score teaches nothing, and all that it scored may."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np

from st_mta.mining.positives import Positives
from st_mta.types import BoolArray, Collection, IntArray, Retrieved, Scorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Listing:
    """What a scorer with given scores lists for Q queries.

    Attributes:
        scorer: It gives NaN for pairs that it has no score for.
        collection: Texts.
        found: (Q, K) passages in the order in which they were given.
        whole: (Q,) whether there is room for everything that it lists.
    """

    scorer: Scorer
    collection: Collection
    found: Retrieved
    whole: BoolArray

    @classmethod
    def of(cls, scorer: Scorer | None, collection: Collection, queries: IntArray, depth: int) -> Listing | None:
        """What it lists, the best ``depth`` where there are more; None where it can score any pair."""
        if scorer is None:
            return None
        found = scorer.listed(collection.queries, collection.corpus, queries, depth)
        return None if found is None else cls(scorer, collection, found, np.zeros(len(queries), dtype=bool))

    def with_room(self, whole: BoolArray, num_candidates: int) -> Listing:
        """The same where it is known which rows have room; the others come by score, equal ones in their order."""
        self._say_what_is_left(whole, num_candidates)
        order = np.argsort(-self.found.scores, axis=1, kind="stable")
        order[whole] = np.arange(order.shape[1])
        return replace(self, found=self.found.ordered(order), whole=whole)

    def known_positives(self, labelled: Positives) -> Positives:
        """Only the positives that have a score."""
        return labelled.keep(self._knows(self.found.queries[labelled.rows], labelled.passages))

    def wanted(self, rows: slice, passages: IntArray, eligible: BoolArray) -> BoolArray:
        """Which eligible entries of other retrievers' (Q, K) passages have a score, where not all are taken anyway."""
        left = eligible & ~self.whole[rows, None]
        row, column = np.nonzero(left)
        left[row, column] = self._knows(self.found.queries[rows][row], passages[row, column])
        return left

    def _knows(self, queries: IntArray, passages: IntArray) -> BoolArray:
        scores = self.scorer.score(self.collection.queries, self.collection.corpus, queries, passages)
        known: BoolArray = ~np.isnan(scores)
        return known

    def _say_what_is_left(self, whole: BoolArray, num_candidates: int) -> None:
        name, total = self.scorer.name, len(whole)
        if empty := int((self.found.passages < 0).all(axis=1).sum()):
            logger.info(f"{name} has no scores for {empty:,} of {total:,} queries, which are left out.")
        if more := int((~whole).sum()):
            logger.info(
                f"{name} has scored more than num_candidates={num_candidates} passages of {more:,} of {total:,} "
                "queries: of these it and the retrievers share the places; raise num_candidates to use all."
            )
