"""Pair scoring through the store: what every scorer of pairs shares."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt

from st_mta.errors import InputError
from st_mta.processes import at_once, processes
from st_mta.progress import progress
from st_mta.ranges import checked_whole_number, count_from
from st_mta.scorers.positions import checked_pairs
from st_mta.stores import Store, text_keys
from st_mta.stores.finite import check_finite
from st_mta.stores.keys import KeyArray
from st_mta.types import FloatArray, IntArray, Scorer, Texts, starts_of

# Pairs computed between two writes: the most a kill can lose. A minute of work for a small cross-encoder on a CPU.
PART_SIZE = 2**13


class StoringScorer(Scorer):
    """A scorer that computes each distinct pair once and takes the rest from its store.

    Attributes:
        store: Where scores are kept, or None.
        part_size: Pairs computed between two writes to the store.
        passages_together: Whether pairs of the same passage are computed together instead of in the order given, for
            scorers that can then encode the passage once.
    """

    store: Store | None
    part_size = PART_SIZE
    passages_together = False

    @abstractmethod
    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores of pairs, computed now."""

    def _key(self, corpus: Texts) -> str:
        """The fingerprint that the scores are stored under."""
        return self.fingerprint

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Raw scores of pairs, those missing in the store computed part by part and stored; see ``Scorer.score``.

        Pairs that are computed and the seconds this takes are counted, without reading and writing.

        Raises:
            InputError: If positions are none, or the model gives a score that is not finite; earlier parts stay in the
                store.
        """
        store, fingerprint = self.store, self._key(corpus)
        query_positions, passage_positions = checked_pairs(queries, corpus, query_positions, passage_positions)
        query_keys, passage_keys = text_keys(queries)[query_positions], text_keys(corpus)[passage_positions]
        scores = np.full(len(query_keys), np.nan, dtype=np.float32)
        if store is not None:
            store.describe(fingerprint, self.name, self.kind)
            scores = store.scores.lookup(fingerprint, query_keys, passage_keys)
        missing = np.flatnonzero(np.isnan(scores))
        first, inverse = distinct_pairs(query_keys[missing], passage_keys[missing])
        wanted = missing[first]
        computed, here = self._fill(queries, corpus, query_positions[wanted], passage_positions[wanted], fingerprint)
        if store is not None:
            store.ledger.pairs_scored += here
            store.ledger.pairs_reused += len(scores) - len(missing) + len(wanted) - here
        scores[missing] = computed[inverse]
        return scores

    def _fill(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray, fingerprint: str
    ) -> tuple[FloatArray, int]:
        """(P,) scores of distinct pairs that the store did not hold, and how many of them were computed here."""
        keys = text_keys(queries)[query_positions], text_keys(corpus)[passage_positions]
        order = np.arange(len(query_positions))
        if self.passages_together:
            order = np.argsort(passage_positions, kind="stable")
        parts = [order[start : start + self.part_size] for start in range(0, len(order), self.part_size)]
        scores, here = np.full(len(order), np.nan, dtype=np.float32), 0
        with progress(f"Scoring with {self.name}", len(order), "pairs") as bar:
            # What another run is scoring comes last: by then it is stored, or falls to this one.
            for wait in (False, True):
                left: list[IntArray] = []
                for group in at_once(parts, 1 if wait else processes().width(self._compute)):
                    with ExitStack() as claims:
                        ours: list[IntArray] = []
                        for part in group:
                            claim = self._claim(fingerprint, keys[0][part], keys[1][part], wait)
                            free, scores[part] = claims.enter_context(claim)
                            ours.append(part[free & np.isnan(scores[part])])
                        ours = [part for part in ours if len(part)]
                        positions = [(query_positions[part], passage_positions[part]) for part in ours]
                        for part, values in zip(ours, self._score_parts(queries, corpus, positions)):
                            scores[part] = values
                            self._keep(fingerprint, keys[0][part], keys[1][part], values)
                    here += sum(map(len, ours))
                    for part in group:
                        others = part[np.isnan(scores[part])]
                        left += [others] if len(others) else []
                        bar.update(len(part) - len(others))
                parts = left
        return scores, here

    @contextmanager
    def _claim(
        self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, wait: bool
    ) -> Iterator[tuple[npt.NDArray[np.bool_], FloatArray]]:
        """Which pairs are free to be computed here, and scores stored meanwhile; see ``ScoreStore.claim``."""
        if self.store is None:
            yield np.ones(len(query_keys), dtype=bool), np.full(len(query_keys), np.nan, dtype=np.float32)
            return
        with self.store.scores.claim(fingerprint, query_keys, passage_keys, wait) as found:
            yield found

    def _score_parts(
        self, queries: Texts, corpus: Texts, parts: list[tuple[IntArray, IntArray]]
    ) -> Iterator[FloatArray]:
        """Scores of each part, given its positions in both tables, computed now, checked and timed."""
        began = time.perf_counter()
        several = len(parts) > 1
        units = [_as_sent(queries, corpus, *part) if several else (queries, corpus, *part) for part in parts]
        computed = processes().map(self._compute, units)
        self.seconds_computing += time.perf_counter() - began
        self.pairs_computed += sum(len(part[0]) for part in parts)
        for values, part in zip(computed, parts):
            found = np.asarray(values, dtype=np.float32)
            _check_scores(self.name, found, (queries, corpus), part)
            yield found

    def _keep(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, scores: FloatArray) -> None:
        if self.store is not None:
            self.store.scores.append(fingerprint, query_keys, passage_keys, scores)


def _as_sent(
    queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
) -> tuple[Texts, Texts, IntArray, IntArray]:
    """The same pairs of tables that hold no other texts."""
    query_rows, query_of = np.unique(query_positions, return_inverse=True)
    passage_rows, passage_of = np.unique(passage_positions, return_inverse=True)
    return queries.select(query_rows), corpus.select(passage_rows), query_of, passage_of


class PairScorer(StoringScorer):
    """A scorer that reads pairs of texts, computes each distinct pair once and takes the rest from its store.

    Args:
        name: Short unique name for reports.
        store: Where scores are kept; None computes every pair on every call.
        part_size: Pairs computed between two writes to the store, the class's own number by default.

    Raises:
        InputError: If ``part_size`` is no whole number from 1.
    """

    def __init__(self, name: str, store: Store | None = None, part_size: int | None = None) -> None:
        self.name, self.store = name, store
        if part_size is not None:
            self.part_size = checked_whole_number("part_size", part_size, count_from(1))

    divisible: tuple[str, ...] = ("_compute",)

    @abstractmethod
    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """Raw scores of P pairs of texts (the i-th query with the i-th passage).

        Returns:
            (P,) float32.
        """

    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        return self.predict(queries.take(query_positions), corpus.take(passage_positions))


def distinct_pairs(first_keys: KeyArray, second_keys: KeyArray) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """Where each distinct pair of keys first occurs, in order of occurrence, and which of them each pair is.

    Returns:
        Index (U,) of the first occurrences, ascending, and inverse (P,) such that pair i is the pair at
        ``index[inverse[i]]``.
    """
    order = np.lexsort((second_keys, first_keys))  # stable
    starts = starts_of(first_keys[order], second_keys[order])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(starts) - 1
    index = order[starts]
    by_occurrence = np.argsort(index)
    rank = np.empty_like(by_occurrence)
    rank[by_occurrence] = np.arange(len(by_occurrence))
    return index[by_occurrence], rank[group]


def _check_scores(
    name: str, scores: FloatArray, tables: tuple[Texts, Texts], positions: tuple[IntArray, IntArray]
) -> None:
    if scores.shape != positions[0].shape:
        raise InputError(
            expected=f"one score for each of {len(positions[0])} pairs from {name}",
            got=f"an array of shape {scores.shape}",
            remedy="use a model with a single output per pair",
        )

    def ids(pair: int) -> str:
        query_id, passage_id = (table.take_ids([of[pair]])[0] for table, of in zip(tables, positions))
        return f"query {query_id!r} and passage {passage_id!r}"

    check_finite(f"scores from {name}", scores, ids)
