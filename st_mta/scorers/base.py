"""Pair scoring through the store: what every scorer of pairs shares."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator
from functools import partial

import numpy as np

from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.ranges import checked_whole_number, count_from
from st_mta.scorers.positions import checked_pairs
from st_mta.scorers.through_store import PART_SIZE as PART_SIZE
from st_mta.scorers.through_store import ThroughStore, distinct_pairs
from st_mta.stores import Store, text_keys
from st_mta.stores.finite import check_finite
from st_mta.types import FloatArray, IntArray, Texts


class StoringScorer(ThroughStore):
    """A scorer that computes each distinct pair once and takes the rest from its store.

    Attributes:
        store: Where scores are kept, or None.
        part_size: Pairs computed between two writes to the store.
        passages_together: Whether pairs of the same passage are computed together instead of in the order given, for
            scorers that can then encode the passage once.
    """

    passages_together = False

    @abstractmethod
    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores of pairs, computed now."""

    def _key(self, corpus: Texts) -> str:
        """The fingerprint that the scores are stored under."""
        return self.fingerprint

    def stored_under(self, corpus: Texts) -> str:
        """The fingerprint under which the store keeps the scores of pairs, and searches, of this corpus."""
        return self._key(corpus)

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Raw scores of pairs, those missing in the store computed part by part and stored; see ``Scorer.score``.

        Pairs that are computed and the seconds this takes are counted, without reading and writing.

        Raises:
            InputError: If positions are none, or the model gives a score that is not finite; earlier parts stay in the
                store.
        """
        fingerprint = self._key(corpus)
        query_positions, passage_positions = checked_pairs(queries, corpus, query_positions, passage_positions)
        keys = text_keys(queries)[query_positions], text_keys(corpus)[passage_positions]
        scores = self._look_up(fingerprint, keys)
        missing = np.flatnonzero(np.isnan(scores))
        first, inverse = distinct_pairs(keys[0][missing], keys[1][missing])
        wanted = order = missing[first]
        if self.passages_together:
            order = wanted[np.argsort(passage_positions[wanted], kind="stable")]
        parts = [order[start : start + self.part_size] for start in range(0, len(order), self.part_size)]
        compute = partial(self._score_parts, queries, corpus, query_positions, passage_positions)
        here = self._fill(fingerprint, keys, parts, compute, scores, processes().width(self._compute))
        self._count(len(scores) - len(missing) + len(wanted), here)
        scores[missing] = scores[wanted][inverse]
        return scores

    def _score_parts(
        self,
        queries: Texts,
        corpus: Texts,
        query_positions: IntArray,
        passage_positions: IntArray,
        ours: list[IntArray],
    ) -> Iterator[FloatArray]:
        """Scores of each part of the pairs, given by their indices, computed now, checked and timed."""
        parts = [(query_positions[part], passage_positions[part]) for part in ours]
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
