"""Scorers that read a query's whole list: a passage's score depends on the others beside it."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from st_mta.ranges import checked_whole_number, count_from
from st_mta.scorers.positions import checked_pairs
from st_mta.scorers.through_store import Keys, ThroughStore, distinct_pairs, numbers_of
from st_mta.stores import Store, text_keys
from st_mta.stores.keys import KeyArray, list_keys
from st_mta.types import FloatArray, IntArray, Lists, Scorer, Texts, offsets_of


@dataclass(frozen=True)
class DistinctLists:
    """Lists as a scorer reads them: every text once.

    Attributes:
        lists: Of distinct passages, sorted by their content keys or in the order given.
        passage_keys: (U,) content keys of their entries.
        inverse: (P,) which entry each passage of the lists as they were given is.
    """

    lists: Lists
    passage_keys: KeyArray
    inverse: IntArray

    @classmethod
    def of(cls, lists: Lists, corpus: Texts, ordered: bool = False) -> DistinctLists:
        """From lists as they are given.

        Args:
            lists: Any; a text may occur several times in one.
            corpus: The passages.
            ordered: Whether the order is kept; otherwise it says nothing, not even by the corpus.
        """
        keys, rows = text_keys(corpus)[lists.passages], lists.rows
        first, inverse = distinct_pairs(rows, keys)
        order = np.arange(len(first)) if ordered else np.lexsort((keys[first], rows[first]))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        first = first[order]
        lengths = np.bincount(rows[first], minlength=len(lists))
        distinct = Lists(lists.queries, offsets_of(lengths), lists.passages[first])
        return cls(distinct, keys[first], place[inverse])


def scored_as_lists(
    scorer: Scorer, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
) -> FloatArray:
    """(P,) scores of pairs by ``score_lists``: those of a query are its list, in the order given.

    Raises:
        InputError: If positions are none, or as ``score_lists`` of the scorer does.
    """
    lists, places = Lists.of_pairs(*checked_pairs(queries, corpus, query_positions, passage_positions))
    scores = np.empty(len(places), dtype=np.float32)
    scores[places] = scorer.score_lists(queries, corpus, lists)
    return scores


class ListScorer(ThroughStore):
    """A scorer of whole lists, each of which is read once in the life of the store.

    The pairs of a query that ``score`` is given together are its list. A text that a list holds twice is shown once.
    By default the passages of a list are shown in the order of their content keys, which depends on nothing but their
    texts: so scores are those of a query and a set of passages, whoever lists them, and no order tells which of them
    are labelled (the lists of a training begin with these). What is computed is stored under a key of query and list.

    Args:
        name: Short unique name for reports.
        store: Where scores are kept; None computes every list on every call.
        part_size: Lists computed between two writes to the store, the class's own number by default.
        ordered: Whether passages are shown in the order in which they are given, as a first stage ranks them, for
            scorers that read it; a run refuses such a teacher or assistant.

    Raises:
        InputError: If ``part_size`` is no whole number from 1.
    """

    kind = "list"
    listwise = True
    of = "lists"
    answers = "a finite number for every passage of a list"
    part_size = 8

    def __init__(
        self, name: str, store: Store | None = None, part_size: int | None = None, ordered: bool = False
    ) -> None:
        self.name, self.store, self.ordered = name, store, bool(ordered)
        if part_size is not None:
            self.part_size = checked_whole_number("part_size", part_size, count_from(1))

    @abstractmethod
    def predict_lists(self, queries: list[str], lists: list[list[str]]) -> Sequence[Any]:
        """Raw scores of each query's passages, as many numbers as the list has; higher is better."""

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores; the pairs of a query are its list, in the order given."""
        return scored_as_lists(self, queries, corpus, query_positions, passage_positions)

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """(P,) scores of whole lists, those missing in the store computed part by part and stored.

        Raises:
            InputError: If positions are none, or the scorer gives other than a finite number per passage; the lists
                before it, and those beside it in its part, stay in the store.
        """
        checked_pairs(queries, corpus, lists.pair_queries, lists.passages)
        asked = DistinctLists.of(lists, corpus, self.ordered)
        own_keys = list_keys(text_keys(queries)[lists.queries], asked.passage_keys, asked.lists.offsets)
        keys = own_keys[asked.lists.rows], asked.passage_keys
        fingerprint = self.fingerprint
        scores = self._look_up(fingerprint, keys)
        # A list of which something is missing is read again.
        missing = np.unique(asked.lists.rows[np.isnan(scores)])
        _, first, which = np.unique(own_keys[missing], return_index=True, return_inverse=True)
        wanted = missing[np.sort(first)]
        parts = [
            asked.lists.pairs_of(wanted[start : start + self.part_size])
            for start in range(0, len(wanted), self.part_size)
        ]
        compute = partial(self._score_parts, queries, corpus, asked.lists, keys)
        here = self._fill(fingerprint, keys, parts, compute, scores)
        self._count(len(scores) - int(asked.lists.lengths[missing].sum()) + sum(map(len, parts)), here)
        scores[asked.lists.pairs_of(missing)] = scores[asked.lists.pairs_of(missing[first][which])]
        return scores[asked.inverse]

    def _score_parts(
        self, queries: Texts, corpus: Texts, lists: Lists, keys: Keys, ours: list[IntArray]
    ) -> Iterator[FloatArray]:
        """Scores of each part of the lists' entries, given by their indices, computed now, checked and timed."""
        scores = np.empty(len(lists.passages), dtype=np.float32)
        for part in ours:
            rows = np.unique(lists.rows[part])
            began = time.perf_counter()
            answers = self._ask(queries, corpus, lists.select(rows))
            self.seconds_computing += time.perf_counter() - began
            good = np.asarray([_fits(answer, length) for answer, length in zip(answers, lists.lengths[rows])])
            known = lists.pairs_of(rows[good])
            scores[known] = np.concatenate([answer for answer, fits in zip(answers, good) if fits] or [scores[:0]])
            self.pairs_computed += len(known)
            if not good.all():
                self._keep(self.fingerprint, keys[0][known], keys[1][known], scores[known])
                wrong = int(np.argmin(good))
                query_id = queries.take_ids(lists.queries[rows[[wrong]]])[0]
                self._refuse(
                    f"{_shown(answers[wrong])} for the {lists.lengths[rows[wrong]]} passages of query {query_id!r}"
                )
            yield scores[part]

    def _ask(self, queries: Texts, corpus: Texts, lists: Lists) -> list[FloatArray | str]:
        """What ``predict_lists`` answers for each list, or why it is no numbers."""
        passages = corpus.take(lists.passages)
        texts = [passages[start:end] for start, end in pairwise(lists.offsets.tolist())]
        answers = list(self.predict_lists(queries.take(lists.queries), texts))
        if len(answers) != len(lists):
            self._refuse(f"{len(answers)} answers for {len(lists)} lists")
        return [numbers_of(answer) for answer in answers]


def _fits(answer: FloatArray | str, length: int) -> bool:
    return not isinstance(answer, str) and answer.shape == (length,) and bool(np.isfinite(answer).all())


def _shown(answer: FloatArray | str) -> str:
    if isinstance(answer, str):
        return answer
    broken = answer.ndim == 1 and not np.isfinite(answer).all()
    return f"{answer[~np.isfinite(answer)][0]}" if broken else f"an array of shape {answer.shape}"
