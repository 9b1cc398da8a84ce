"""Scorers that compare two passages at a time: preferences of pairs, turned into scores of a list."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from st_mta.ranges import POSITIVE, check_number, checked_whole_number, count_from
from st_mta.scorers.bradley_terry import PRIOR, bradley_terry
from st_mta.scorers.comparisons import compared
from st_mta.scorers.listwise import DistinctLists, scored_as_lists
from st_mta.scorers.positions import checked_pairs
from st_mta.scorers.through_store import Keys, ThroughStore, distinct_pairs, numbers_of
from st_mta.stores import Store, text_keys
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.stores.keys import list_keys, mix
from st_mta.types import BoolArray, FloatArray, IntArray, Lists, Texts

MOST_AT_ONCE = 2**21
"""Fields of the squares of the lists that are worked on together: what compares each passage with each other one."""


@dataclass(frozen=True)
class Comparisons:
    """Comparisons of two passages for a query, C in all.

    Attributes:
        queries: (C,) positions.
        first: (C,) positions in the corpus, of the passage that is shown first.
        second: (C,) of the other one.
    """

    queries: IntArray
    first: IntArray
    second: IntArray

    def take(self, which: IntArray | BoolArray) -> Comparisons:
        """Some of them."""
        return Comparisons(self.queries[which], self.first[which], self.second[which])

    def swapped(self) -> Comparisons:
        """The same pairs, shown in the other order."""
        return Comparisons(self.queries, self.second, self.first)

    def keys(self, queries: Texts, corpus: Texts) -> Keys:
        """Keys of query and first passage, and of the second one."""
        passages = text_keys(corpus)
        both = np.arange(len(self.queries) + 1, dtype=np.int64)
        return list_keys(text_keys(queries)[self.queries], passages[self.first], both), passages[self.second]


@dataclass(frozen=True)
class _Table:
    """R lists of one length n, and what is compared of them.

    Attributes:
        entries: (R, n) index of each list's entries.
        row, left, right: (C,) a list, and two places in it.
    """

    entries: IntArray
    row: IntArray
    left: IntArray
    right: IntArray

    @classmethod
    def of(cls, lists: Lists, rows: IntArray, comparisons: int | None) -> _Table:
        size = int(lists.lengths[rows[0]])
        left, right = compared(size, comparisons)
        places = np.repeat(np.arange(len(rows)), len(left)), np.tile(left, len(rows)), np.tile(right, len(rows))
        return cls(lists.pairs_of(rows).reshape(len(rows), size), *places)

    def entries_of(self, side: str) -> IntArray:
        """(C,) index of the entry on the "left" or the "right"."""
        return np.asarray(self.entries[self.row, getattr(self, side)])

    def wins(self, won: FloatArray) -> npt.NDArray[np.float64]:
        """(R, n, n) how often each beat each other, from (C,) probabilities that the left one wins."""
        wins = np.zeros((*self.entries.shape, self.entries.shape[1]))
        wins[self.row, self.left, self.right] = won
        wins[self.row, self.right, self.left] = 1 - won.astype(np.float64)
        return wins


def _blocks(lengths: IntArray) -> list[IntArray]:
    """Consecutive rows whose squares have together about ``MOST_AT_ONCE`` fields."""
    number = np.cumsum(np.square(lengths)) // MOST_AT_ONCE
    return np.split(np.arange(len(lengths)), np.flatnonzero(np.diff(number)) + 1) if len(lengths) else []


class PairwiseScorer(ThroughStore):
    """A scorer that says which of two passages answers a query better, and how surely.

    The scores of a list are those under which its preferences are most likely, by the model of Bradley and Terry
    ([`bradley_terry`]): differences between passages of a list are logits of the preference. They are comparable
    within a list and depend on what else it holds. Preferences are stored as soon as they are known, under query and
    pair: a pair that occurs in several lists is compared once. Which of its two passages is shown first is decided by
    their content keys and the query's, as by the toss of a coin, so that a liking for the first place favours nobody.

    Scores of pairs as targets: PairDistill (Huang and Chen, arXiv 2410.01383) samples pairs and has the student learn
    the preferences themselves; duoT5 (Pradeep, Nogueira and Lin, arXiv 2101.05667) compares all pairs in both orders
    and sums. Here both are turned into scores of lists, which every loss here can learn.

    Args:
        name: Short unique name for reports.
        store: Where preferences are kept; None asks on every call.
        part_size: Comparisons between two writes to the store, the class's own number by default.
        comparisons: With how many others of its list each passage is compared at least; None for all of them.
        both_orders: Whether every pair is shown in both orders and the mean counts, for twice the price.
        prior: Precision of the normal prior of the scores, see [`bradley_terry`].

    Raises:
        InputError: If a number is out of its range.
    """

    kind = "pairwise"
    listwise = True
    of = "comparisons"
    answers = "a probability for every comparison"
    part_size = 32

    def __init__(
        self,
        name: str,
        store: Store | None = None,
        part_size: int | None = None,
        *,
        comparisons: int | None = None,
        both_orders: bool = False,
        prior: float = PRIOR,
    ) -> None:
        self.name, self.store = name, store
        if part_size is not None:
            self.part_size = checked_whole_number("part_size", part_size, count_from(1))
        if comparisons is not None:
            comparisons = checked_whole_number("comparisons", comparisons, count_from(1))
        check_number("prior", prior, POSITIVE)
        self.comparisons, self.both_orders, self.prior = comparisons, bool(both_orders), float(prior)
        self._passages = self._compared = 0  # asked for, computed or not

    @property
    def pairs_per_second(self) -> float | None:
        """Passages scored in a second, each of which takes several comparisons; None where nothing was computed."""
        rate = super().pairs_per_second
        return None if rate is None else rate * self._passages / self._compared

    @property
    @abstractmethod
    def preference_fingerprint(self) -> str:
        """Digest of everything a preference depends on; the scores also depend on which pairs are compared."""

    @property
    def fingerprint(self) -> str:
        """Digest of what preferences depend on, and of how they become scores."""
        return fingerprint_values(self.preference_fingerprint, self.comparisons, self.both_orders, self.prior)

    @abstractmethod
    def prefer(self, queries: list[str], first: list[str], second: list[str]) -> Sequence[float]:
        """Probabilities (C,) that the first passage answers the query better than the second."""

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores; the pairs of a query are its list."""
        return scored_as_lists(self, queries, corpus, query_positions, passage_positions)

    def score_lists(self, queries: Texts, corpus: Texts, lists: Lists) -> FloatArray:
        """(P,) scores of whole lists.

        Raises:
            InputError: If positions are none, or a preference is no probability; those before it stay in the store.
        """
        checked_pairs(queries, corpus, lists.pair_queries, lists.passages)
        asked = DistinctLists.of(lists, corpus)
        scores = np.zeros(len(asked.lists.passages), dtype=np.float32)
        for rows in _blocks(asked.lists.lengths):
            tables = [
                _Table.of(asked.lists, rows[asked.lists.lengths[rows] == size], self.comparisons)
                for size in np.unique(asked.lists.lengths[rows]).tolist()
            ]
            first, second = (
                np.concatenate([table.entries_of(side) for table in tables]) for side in ("left", "right")
            )
            of = asked.lists.pair_queries[first], asked.lists.passages[first], asked.lists.passages[second]
            won = self._preferences(queries, corpus, Comparisons(*of))
            self._passages += sum(table.entries.size for table in tables)
            self._compared += len(won) * (2 if self.both_orders else 1)
            for table, part in zip(tables, np.split(won, np.cumsum([len(table.left) for table in tables])[:-1])):
                scores[table.entries] = bradley_terry(table.wins(part), self.prior)
        return scores[asked.inverse]

    def _preferences(self, queries: Texts, corpus: Texts, asked: Comparisons) -> FloatArray:
        """(C,) probabilities that the first of each pair is the better one, whichever is shown first."""
        keys = text_keys(corpus)
        coin = mix(text_keys(queries)[asked.queries] + keys[asked.first] + keys[asked.second]) & np.uint64(1)
        swap = (keys[asked.first] > keys[asked.second]) ^ coin.astype(bool)
        columns = np.where(swap, asked.second, asked.first), np.where(swap, asked.first, asked.second)
        shown = Comparisons(asked.queries, *columns)
        of_shown = self._known(queries, corpus, shown)
        if self.both_orders:
            of_shown = np.mean([of_shown, 1 - self._known(queries, corpus, shown.swapped())], axis=0, dtype=np.float32)
        return np.where(swap, 1 - of_shown, of_shown)

    def _known(self, queries: Texts, corpus: Texts, shown: Comparisons) -> FloatArray:
        """(C,) probabilities for the passages shown first, those missing in the store asked for and stored."""
        fingerprint, keys = self.preference_fingerprint, shown.keys(queries, corpus)
        found = self._look_up(fingerprint, keys)
        missing = np.flatnonzero(np.isnan(found))
        first, inverse = distinct_pairs(keys[0][missing], keys[1][missing])
        wanted = missing[first]
        parts = [wanted[start : start + self.part_size] for start in range(0, len(wanted), self.part_size)]
        compute = partial(self._ask_parts, queries, corpus, shown, keys)
        here = self._fill(fingerprint, keys, parts, compute, found)
        self._count(len(found) - len(missing) + len(wanted), here)
        found[missing] = found[wanted][inverse]
        return found

    def _ask_parts(
        self, queries: Texts, corpus: Texts, shown: Comparisons, keys: Keys, ours: list[IntArray]
    ) -> Iterator[FloatArray]:
        """Preferences of each part, given by the indices of its comparisons, computed now, checked and timed."""
        for part in ours:
            began = time.perf_counter()
            asked = shown.take(part)
            answers = self._ask(queries.take(asked.queries), corpus.take(asked.first), corpus.take(asked.second))
            self.seconds_computing += time.perf_counter() - began
            good = (answers >= 0) & (answers <= 1)
            self.pairs_computed += int(good.sum())
            if not good.all():
                self._keep(self.preference_fingerprint, keys[0][part[good]], keys[1][part[good]], answers[good])
                wrong = int(np.argmin(good))
                query_id = queries.take_ids(asked.queries[[wrong]])[0]
                names = " and ".join(repr(corpus.take_ids(one[[wrong]])[0]) for one in (asked.first, asked.second))
                self._refuse(f"{answers[wrong]} for query {query_id!r} and passages {names}")
            yield answers

    def _ask(self, queries: list[str], first: list[str], second: list[str]) -> FloatArray:
        answers = numbers_of(self.prefer(queries, first, second))
        if isinstance(answers, str):
            self._refuse(answers)
        if answers.shape != (len(queries),):
            self._refuse(f"an array of shape {answers.shape} for {len(queries)} comparisons")
        return answers
