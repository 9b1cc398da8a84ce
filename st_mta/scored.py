"""Candidates with every scorer's scores: what a student learns from, and what scorers are compared on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from st_mta.types import BoolArray, Candidates, Collection, FloatArray, IntArray, Run, Scorer, Windows, run_of


@dataclass(frozen=True)
class ScoredCandidates:
    """Candidates of Q queries, P pairs in all, and the scores that S scorers give them.

    Attributes:
        candidates: The lists.
        scores: (S, P) raw scores, NaN where a stored scorer knows nothing; in training the teacher's first.
        scorers: S names.
    """

    candidates: Candidates
    scores: FloatArray
    scorers: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.candidates)

    def select(self, rows: IntArray) -> ScoredCandidates:
        """The lists of these rows, in this order (a row may occur several times)."""
        pairs = self.candidates.pairs_of(np.asarray(rows, dtype=np.int64))
        return replace(self, candidates=self.candidates.select(rows), scores=self.scores[:, pairs])

    def keep(self, pairs: BoolArray) -> ScoredCandidates:
        """Only the pairs marked True; rows stay, possibly shorter."""
        return replace(self, candidates=self.candidates.keep(pairs), scores=self.scores[:, pairs])

    def known(self) -> ScoredCandidates:
        """Without pairs that the first scorer does not know, and without queries left with fewer than two."""
        kept = self.keep(~np.isnan(self.scores[0]))
        return kept.select(np.flatnonzero(kept.candidates.lengths >= 2))

    def filled(self) -> ScoredCandidates:
        """A pair a scorer does not list gets that scorer's lowest score in the query's list (0 where it has none).

        A run file holds what a system ranked highest: what it does not list it ranked lower. No list may be empty.
        """
        filled = self.scores.copy()
        for scorer in np.flatnonzero(np.isnan(self.scores).any(axis=1)):
            lowest = np.fmin.reduceat(self.scores[scorer], self.candidates.offsets[:-1])
            lowest = np.nan_to_num(lowest, nan=0.0)[self.candidates.rows]
            missing = np.isnan(self.scores[scorer])
            filled[scorer, missing] = lowest[missing]
        return replace(self, scores=filled)

    def by_document(self, windows: Windows | None) -> tuple[IntArray, FloatArray]:
        """Which pairs are one document of a list, and what the first scorer gives it.

        Args:
            windows: Of the corpus, where passages are windows; those of a document follow each other in a list.

        Returns:
            (P,) numbers, equal for pairs of one document of a list, ascending; and (P,) the document's score.
        """
        lists, scores = self.candidates, self.scores[0]
        if windows is None:
            return np.arange(len(scores), dtype=np.int64), scores
        lengths, sums = windows.sums(lists.rows, lists.passages, scores)
        return np.repeat(np.arange(len(lengths), dtype=np.int64), lengths), np.repeat(sums, lengths)

    def with_pseudo_positives(self, windows: Windows | None = None) -> ScoredCandidates:
        """Where no passage of a query is labelled relevant, the first scorer's best one (of equals the first) is.

        Where passages are windows it is the best document, and all its windows in the list are.
        """
        lists = self.candidates
        unlabelled = ~np.logical_or.reduceat(lists.positive, lists.offsets[:-1])
        document, scores = self.by_document(windows)
        best = np.lexsort((-scores, lists.rows))[lists.offsets[:-1]]
        positive = lists.positive | np.isin(document, document[best[unlabelled]])
        return replace(self, candidates=replace(lists, positive=positive))

    def dense(self) -> tuple[Tensor, Tensor, Tensor]:
        """Padded tensors over the longest list: (Q, S, N) scores, (Q, N) mask and (Q, N) positives."""
        lengths = self.candidates.lengths
        mask: BoolArray = np.arange(lengths.max(initial=1)) < lengths[:, None]
        scores = np.zeros((len(self.scores), *mask.shape), dtype=np.float32)
        scores[:, mask] = self.scores
        positive = np.zeros_like(mask)
        positive[mask] = self.candidates.positive
        return (
            torch.from_numpy(scores).transpose(0, 1).contiguous(),
            torch.from_numpy(mask),
            torch.from_numpy(positive),
        )

    def as_run(self, collection: Collection, scores: FloatArray) -> Run:
        """The candidates under these (P,) scores as a run with ids."""
        lists = self.candidates
        query_ids, passage_ids = collection.queries.take_ids(lists.queries), collection.corpus.take_ids(lists.passages)
        return run_of(query_ids, lists.lengths, passage_ids, scores)


def score_all(collection: Collection, candidates: Candidates, scorers: Sequence[Scorer]) -> ScoredCandidates:
    """Every scorer's raw scores of all pairs, in the scorers' order."""
    scores = [scorer.score_lists(collection.queries, collection.corpus, candidates) for scorer in scorers]
    return ScoredCandidates(candidates, np.stack(scores), tuple(scorer.name for scorer in scorers))
