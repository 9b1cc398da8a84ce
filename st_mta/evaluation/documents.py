"""From windows to the documents that they are cut from: rankings, and scorers that read windows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from st_mta.errors import InputError
from st_mta.types import (
    Collection,
    FloatArray,
    IntArray,
    Lists,
    Retrieved,
    Scorer,
    Texts,
    Windows,
    numbers_within,
    offsets_of,
    starts_of,
    sum_of_best,
)

AHEAD = 4  # windows searched for each document wanted, at first
TAKEN = "name kind can_retrieve bounded partial listwise ordered parameters layers timed".split()
"""Attributes of a scorer of documents that are those of the scorer of their windows."""


def documents_of(found: Retrieved, windows: Windows, k: int | None) -> Retrieved:
    """The k best documents by the windows that were found of each; all where ``k`` is None.

    Args:
        found: (Q, K) windows in any order.
        windows: Of the corpus.
        k: Documents of each query.

    Returns:
        (Q, k) positions of documents, best first, ties by the lower position.
    """
    rows, columns = np.nonzero((found.passages >= 0) & ~np.isnan(found.scores))
    document, scores = windows.document[found.passages[rows, columns]], found.scores[rows, columns]
    order = np.lexsort((-scores, document, rows))
    rows, document, scores = rows[order], document[order], scores[order]
    starts = np.flatnonzero(starts_of(rows, document))
    lengths = np.diff(np.append(starts, len(rows)))
    sums = sum_of_best(scores, lengths, windows.best)
    rows, document = rows[starts], document[starts]
    order = np.lexsort((document, -sums, rows))
    lengths = np.bincount(rows, minlength=len(found.queries))
    rank, k = numbers_within(lengths), int(lengths.max(initial=1)) if k is None else k
    kept = rank < k
    rows, document, sums, rank = rows[kept], document[order][kept], sums[order][kept], rank[kept]
    passages = np.full((len(found.queries), k), -1, dtype=np.int64)
    best = np.full(passages.shape, -np.inf, dtype=np.float32)
    passages[rows, rank], best[rows, rank] = document, sums
    return Retrieved(found.queries, passages, best)


class DocumentScorer(Scorer):
    """A scorer of documents that reads their windows by another one.

    Args:
        scorer: It scores, and where it can searches, windows.
        collection: The one with windows.
    """

    def __init__(self, scorer: Scorer, collection: Collection) -> None:
        assert collection.windows is not None
        self.scorer, self.corpus, self.windows = scorer, collection.corpus, collection.windows
        for attribute in TAKEN:
            setattr(self, attribute, getattr(scorer, attribute))

    @property
    def fingerprint(self) -> str:
        """Of the scorer inside: stored scores are those of windows."""
        return self.scorer.fingerprint

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores of documents."""
        lengths, windows = self.windows.lengths[passage_positions], self.windows.of(passage_positions)
        scores = self.scorer.score(queries, self.corpus, np.repeat(query_positions, lengths), windows)
        return sum_of_best(scores, lengths, self.windows.best)

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """(P,) scores of the documents of whole lists: the windows of all of a list's documents are one list."""
        lengths = self.windows.lengths[lists.passages]
        whole = np.bincount(np.repeat(lists.rows, lengths), minlength=len(lists))
        windows = Lists(lists.queries, offsets_of(whole), self.windows.of(lists.passages))
        return sum_of_best(self.scorer.score_lists(queries, self.corpus, windows), lengths, self.windows.best)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best documents; where a sum counts, among all documents of which a window is found."""
        found = self._enough(queries, query_positions, k)
        if self.windows.best == 1:
            return documents_of(found, self.windows, k)
        found = documents_of(found, self.windows, None)
        rows, columns = np.nonzero(found.passages >= 0)
        scores = np.full(found.passages.shape, -np.inf, dtype=np.float32)
        scores[rows, columns] = self.score(queries, corpus, query_positions[rows], found.passages[rows, columns])
        place = np.where(found.passages >= 0, found.passages, len(self.windows.lengths))
        ranked = Retrieved(found.queries, found.passages, scores).ordered(np.lexsort((place, -scores), axis=1))
        return _as_wide_as(ranked, k)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object] | None:
        """As it answers with windows."""
        return self.scorer.answer(queries, self.corpus, depth)

    def _enough(self, queries: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The best windows of each query, so many that they are of k documents, or all that can be found."""
        wanted, most = min(k, len(self.windows.lengths)), len(self.corpus)
        depth = min(most, AHEAD * self.windows.best * wanted)
        while True:
            found = self.scorer.retrieve(queries, self.corpus, query_positions, depth)
            distinct = documents_of(found, self.windows, wanted).passages
            short = (distinct[:, -1:] < 0).any(axis=1) & (found.passages[:, -1:] >= 0).any(axis=1)
            if depth == most or not short.any():
                return found
            depth = min(most, 2 * depth)


def _as_wide_as(ranked: Retrieved, k: int) -> Retrieved:
    """The first k of each query, with padding where there are fewer."""
    more = ((0, 0), (0, max(0, k - ranked.passages.shape[1])))
    passages = np.pad(ranked.passages[:, :k], more, constant_values=-1)
    return Retrieved(ranked.queries, passages, np.pad(ranked.scores[:, :k], more, constant_values=-np.inf))


def over_documents(scorer: Scorer, collection: Collection) -> Scorer:
    """The scorer as it is to be measured: over documents, where passages are windows."""
    return scorer if collection.windows is None else DocumentScorer(scorer, collection)


def refuse_finished(scorers: Iterable[Scorer], collection: Collection) -> None:
    """Raises ``InputError`` where passages are windows, and a scorer's rankings are given, as in a run file."""
    nothing = np.zeros(0, dtype=np.int64)
    for scorer in scorers if collection.windows is not None else ():
        if scorer.ranking(collection.queries, collection.over_documents.corpus, nothing, 1) is not None:
            raise InputError(
                expected="scorers that read windows",
                got=f"{scorer.name!r}, whose scores are given",
                consequence="nothing would be known of any window",
                remedy="leave windows out, or name the model that gave these scores",
            )
