"""A re-ranker that searches: all its scores of a query are approximated from those of a few anchor passages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np

from st_mta.errors import InputError
from st_mta.ranges import SEED, Range, check_number, checked_whole_number, count_from
from st_mta.scorers.factorised import approximated, best_of
from st_mta.scorers.positions import checked_search
from st_mta.stores import text_keys
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.stores.keys import KeyArray, mix
from st_mta.types import FloatArray, IntArray, Retrieved, Scorer, Texts

logger = logging.getLogger(__name__)

PAIRS_AT_ONCE = 2**22
"""Pairs that are scored, or approximated scores that are held, at the same time."""


class AnnCur(Scorer):
    """A cross-encoder that brings the candidates itself, which no bi-encoder may find.

    Some queries of the table are scored against the whole corpus once, and every query against some anchor passages;
    from the two all other scores are approximated ([`approximated`]). The best by these are then scored exactly. The
    scores of pairs are the scorer's own and stand in its store: a run whose teacher is the same model finds them
    there.

    It costs ``anchor_queries`` times the corpus, once, and for every query ``anchors`` pairs and those that are
    re-ranked: for a corpus that a re-ranker can be afforded to read so many times. A message says how many pairs.

    Anchors are drawn by the texts' content keys and the seed, whatever else is asked for.

    Args:
        scorer: A re-ranker whose scores do not depend on the list.
        anchors: Passages that a query is scored against.
        anchor_queries: Queries that are scored against all passages; fewer where the table has fewer.
        rounds: In how many steps a query's anchors are chosen: the first ones at random, the same for all queries, and
            in each later step the best so far (ADACUR, Yadav et al., arXiv 2305.02996); 1 is ANNCUR.
        rerank: Whether what is found is put in the order of exact scores.
        seed: Of the anchors.
        name: Name for reports, by default "anncur:" and the scorer's.

    Raises:
        InputError: If a number is out of its range, or the scorer scores lists or knows some pairs only.
    """

    kind = "anncur"
    can_retrieve = mines = True

    def __init__(
        self,
        scorer: Scorer,
        anchors: int = 100,
        anchor_queries: int = 200,
        rounds: int = 1,
        *,
        rerank: bool = True,
        seed: int = 0,
        name: str | None = None,
    ) -> None:
        _refuse_others(scorer)
        self.scorer, self.name = scorer, name or f"anncur:{scorer.name}"
        self.anchors = checked_whole_number("anchors", anchors, count_from(1))
        self.anchor_queries = checked_whole_number("anchor_queries", anchor_queries, count_from(1))
        self.rounds = checked_whole_number("rounds", rounds, count_from(1))
        check_number("seed", seed, SEED)
        check_number("rounds", rounds, Range(1, self.anchors))
        self.rerank, self.seed = bool(rerank), int(seed)
        self.bounded, self.parameters, self.layers = scorer.bounded, scorer.parameters, scorer.layers
        self.timed = scorer.timed
        self._tables: WeakKeyDictionary[Texts, WeakKeyDictionary[Texts, _Table]] = WeakKeyDictionary()

    @property
    def fingerprint(self) -> str:
        """Digest of the scorer's, and of how anchors are chosen."""
        chosen = self.anchors, self.anchor_queries, self.rounds, self.rerank, self.seed
        return fingerprint_values(self.kind, self.scorer.fingerprint, chosen)

    @property
    def pairs_per_second(self) -> float | None:
        """The scorer's own."""
        return self.scorer.pairs_per_second

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) the scorer's own scores."""
        return self.scorer.score(queries, corpus, query_positions, passage_positions)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object] | None:
        """None: its speed is that of the scorer, which a search asks for pairs."""
        return None

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages of each query by approximated scores, in the order of exact ones with ``rerank``."""
        query_positions, k = checked_search(queries, query_positions, k)
        passages = np.full((len(query_positions), k), -1, dtype=np.int64)
        scores = np.full((len(query_positions), k), -np.inf, dtype=np.float32)
        found = Retrieved(query_positions, passages, scores)
        depth = min(k, len(corpus))
        if depth == 0 or not len(query_positions):
            return found
        table = self._table_of(queries, corpus)
        shared = _lowest(table.keys, self._sizes(table)[0], self.seed)
        known = self._exact(
            queries, corpus, query_positions, table.passages[np.tile(shared, (len(query_positions), 1))]
        )
        # Each query has a pseudo-inverse of its own where it has anchors of its own.
        at_once = max(1, PAIRS_AT_ONCE // max(len(corpus), self.anchors * len(table.rows) if self.rounds > 1 else 0))
        for start in range(0, len(query_positions), at_once):
            some = slice(start, start + at_once)
            near = self._approximate(queries, corpus, query_positions[some], known[some], shared, table)
            passages[some, :depth] = best_of(near, depth)
            scores[some, :depth] = np.take_along_axis(near, passages[some, :depth], axis=1)
        return self._reranked(queries, corpus, found, depth) if self.rerank else found

    def _reranked(self, queries: Texts, corpus: Texts, found: Retrieved, depth: int) -> Retrieved:
        """The same passages by exact scores; of equal ones the lower position first."""
        passages = np.sort(found.passages[:, :depth], axis=1)
        exact = self._exact(queries, corpus, found.queries, passages)
        order = best_of(exact, depth)
        found.passages[:, :depth] = np.take_along_axis(passages, order, axis=1)
        found.scores[:, :depth] = np.take_along_axis(exact, order, axis=1)
        return found

    def _approximate(
        self,
        queries: Texts,
        corpus: Texts,
        query_positions: IntArray,
        known: FloatArray,
        shared: IntArray,
        table: _Table,
    ) -> FloatArray:
        """(Q, n) approximated scores of all passages, after the last round."""
        near, anchors = approximated(known, shared, table.rows), np.tile(shared, (len(query_positions), 1))
        for size in self._sizes(table)[1:]:
            np.put_along_axis(near, anchors, -np.inf, axis=1)
            more = best_of(near, size)
            anchors = np.concatenate([anchors, more], axis=1)
            known = np.concatenate(
                [known, self._exact(queries, corpus, query_positions, table.passages[more])], axis=1
            )
            near = approximated(known, anchors, table.rows)
        return near[:, table.column_of]

    def _exact(self, queries: Texts, corpus: Texts, query_positions: IntArray, passages: IntArray) -> FloatArray:
        """(Q, K) scores of each query's passages (Q, K)."""
        pairs = np.repeat(query_positions, passages.shape[1]), passages.ravel()
        return self.scorer.score(queries, corpus, *pairs).reshape(passages.shape)

    def _sizes(self, table: _Table) -> list[int]:
        """Anchors of each round."""
        total = min(self.anchors, len(table.keys))
        bounds = np.linspace(0, total, min(self.rounds, total) + 1).round().astype(np.int64)
        return [int(size) for size in np.diff(bounds)]

    def _table_of(self, queries: Texts, corpus: Texts) -> _Table:
        """Kept as long as both tables of texts live."""
        by_corpus = self._tables.setdefault(queries, WeakKeyDictionary())
        if corpus not in by_corpus:
            by_corpus[corpus] = self._score_anchor_queries(queries, corpus)
        return by_corpus[corpus]

    def _score_anchor_queries(self, queries: Texts, corpus: Texts) -> _Table:
        keys, passages, column_of = np.unique(text_keys(corpus), return_index=True, return_inverse=True)
        of_queries, positions = np.unique(text_keys(queries), return_index=True)
        chosen = positions[_lowest(of_queries, self.anchor_queries, self.seed)]
        logger.info(
            f"{self.name} scores {len(chosen):,} queries against all {len(keys):,} passages, "
            f"{len(chosen) * len(keys):,} pairs, but for those that are stored."
        )
        at_once = max(1, PAIRS_AT_ONCE // len(keys))
        blocks = [chosen[start : start + at_once] for start in range(0, len(chosen), at_once)]
        rows = [self._exact(queries, corpus, block, np.tile(passages, (len(block), 1))) for block in blocks]
        return _Table(keys, passages, column_of, np.concatenate(rows))


@dataclass(frozen=True)
class _Table:
    """What anchor queries say of all passages; a text is one column, however often the corpus has it.

    Attributes:
        keys: (u,) content keys, ascending.
        passages: (u,) a position of each.
        column_of: (n,) the column of each passage.
        rows: (M, u) scores of the anchor queries.
    """

    keys: KeyArray
    passages: IntArray
    column_of: IntArray
    rows: FloatArray


def _lowest(keys: KeyArray, count: int, seed: int) -> IntArray:
    """Which so many of these distinct keys are the lowest when mixed with the seed, ascending."""
    order = np.argsort(mix(keys ^ mix(np.full(1, seed + 1, dtype=np.uint64))), kind="stable")
    return np.sort(order[:count])


def _refuse_others(scorer: Scorer) -> None:
    if not (scorer.listwise or scorer.partial):
        return
    found = "whose scores depend on the list" if scorer.listwise else "which knows some pairs only"
    raise InputError(
        expected="a re-ranker that scores any pair by itself, to search with",
        got=f"{scorer.name}, {found}",
        consequence="a few anchors would say nothing about its other scores",
        remedy="name a cross-encoder",
    )
