"""What a run computes, in the order in which it would: nothing that is stored, or was computed before, is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from st_mta.recipes.plan import sizes
from st_mta.recipes.plan.rates import Rates
from st_mta.recipes.plan.readers import Reader, readers
from st_mta.recipes.plan.work import PAIRS, SEARCHES, TEXTS, Work
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.anncur import AnnCur
from st_mta.scorers.base import StoringScorer
from st_mta.scorers.preferences import PairwiseScorer
from st_mta.scorers.through_store import ThroughStore
from st_mta.stores import text_keys
from st_mta.stores.embeddings import Role
from st_mta.stores.keys import KeyArray
from st_mta.stores.searches import stored_depth
from st_mta.types import BoolArray, Collection, IntArray, Scorer

PASSAGES: Role = "document"
NO_KEYS = np.zeros(0, dtype=np.uint64)


class Foreseen:
    """Keeps account of what is known at each moment of a run that is yet to come.

    Args:
        collection: What the run reads.
        rates: Speeds of this machine.
        finished: Stages that are done: what they have computed is known, and costs nothing.

    Attributes:
        works: What was foreseen so far.
    """

    def __init__(self, collection: Collection, rates: Rates, finished: set[str]) -> None:
        self.collection, self.rates, self.finished = collection, rates, finished
        self.works: list[Work] = []
        self._stage, self._at_most = "", False
        self._embedded: dict[tuple[str, Role], KeyArray] = {}
        self._searched: dict[str, dict[int, KeyArray]] = {}
        self._stored_pairs: dict[str, IntArray] = {}
        self._indexed: set[str] = set()
        self._shown: set[str] = set()

    @contextmanager
    def stage(self, name: str, *, at_most: bool = False) -> Iterator[None]:
        """Within it everything belongs to a stage.

        Args:
            name: As the journal calls it.
            at_most: Whether its counts are bounds.
        """
        self._stage, self._at_most = name, at_most
        yield

    @contextmanager
    def bounded(self, at_most: bool) -> Iterator[None]:
        """Within it the counts of this stage are bounds, where ``at_most`` or the stage says so."""
        before, self._at_most = self._at_most, self._at_most or at_most
        yield
        self._at_most = before

    @property
    def counts(self) -> bool:
        """Whether the stage is yet to be done."""
        return self._stage not in self.finished

    def add(self, what: str, **numbers: Any) -> None:
        """A piece of work of this stage, unless that is finished or there is nothing to do.

        Where everything is stored, that is said once.
        """
        work = replace(Work(self._stage, what, at_most=self._at_most), **numbers)
        if any((work.count, work.written, work.seconds)) or (work.stored and what not in self._shown):
            self._shown.add(what)
            if self.counts:
                self.works.append(work)

    def embed(self, reader: Reader, role: Role, positions: IntArray, every: float = 1.0) -> None:
        """Has texts encoded by a bi-encoder, those that are not known.

        Args:
            reader: The bi-encoder.
            role: Of the texts.
            positions: (n,) of the texts in their table.
            every: Times that each of them is encoded, for retrievers that keep nothing.
        """
        texts, scorer = reader.texts(role), reader.scorer
        wanted = np.unique(text_keys(texts)[positions])
        known = self._known(reader, role)
        new = np.setdiff1d(wanted, known, assume_unique=True)
        self._embedded[reader.key, role] = np.union1d(known, new)
        each, width = self.rates.encoding(reader, role) if len(new) else 0.0, getattr(scorer, "dimension", 0)
        per_row = width * sizes.PER_NUMBER["fp32"] + sizes.PER_ROW
        if isinstance(scorer, EmbeddingScorer):
            per_row = width * sizes.PER_NUMBER[scorer.store.embeddings.stored_in] + sizes.PER_ROW
        self.add(
            f"{'queries' if role == 'query' else 'passages'} encoded by {scorer.name}",
            unit=TEXTS,
            count=len(new),
            stored=len(wanted) - len(new),
            tokens=int(len(new) * self.rates.tokens(reader, role)) if len(new) else 0,
            read=int(len(new) * sizes.bytes_of(texts) / max(1, len(texts))),
            written=len(new) * per_row if isinstance(scorer, EmbeddingScorer) else 0,
            seconds=None if each is None else each * len(new),
        )

    def _known(self, reader: Reader, role: Role) -> KeyArray:
        if (reader.key, role) not in self._embedded:
            stored = reader.exists and isinstance(reader.scorer, EmbeddingScorer)
            keys = reader.scorer.store.embeddings.keys(reader.key, role) if stored else NO_KEYS  # type: ignore[attr-defined]
            self._embedded[reader.key, role] = np.unique(keys)
        return self._embedded[reader.key, role]

    def search(self, scorer: Scorer | Reader, queries: IntArray, k: int) -> None:
        """Has the corpus searched for some queries, (n,) positions.

        Args:
            scorer: A retriever, or a student to come as a reader.
            queries: (n,).
            k: Passages per query.
        """
        if isinstance(scorer, AnnCur):
            self._search_by_anchors(scorer, queries, k)
            return
        found = [scorer] if isinstance(scorer, Reader) else list(readers(scorer, self.collection))
        for reader in found:
            if reader.scorer.partial:
                return  # given, not computed
        every = np.arange(len(self.collection.corpus))
        embedding = isinstance(found[0].scorer, EmbeddingScorer)
        if embedding:
            for reader in found:
                self.embed(reader, PASSAGES, every)
                self.embed(reader, "query", queries)
        elif hasattr(found[0].scorer, "encode") and found[0].key not in self._indexed:
            self.embed(found[0], PASSAGES, every)
        self._count_searches(found, scorer, queries, k, embedding)

    def _search_by_anchors(self, scorer: AnnCur, queries: IntArray, k: int) -> None:
        """A re-ranker scores some queries against the whole corpus once, then every query's anchors and best."""
        size = len(self.collection.corpus)
        with self.bounded(True):
            if scorer.fingerprint not in self._indexed:
                self._indexed.add(scorer.fingerprint)
                self.score(scorer.scorer, np.arange(min(scorer.anchor_queries, len(self.collection.queries))), size)
            anchors = min(scorer.anchors, size) + (min(k, size) if scorer.rerank else 0)
            self.score(scorer.scorer, queries, min(anchors, size))

    def _count_searches(
        self, found: list[Reader], scorer: Scorer | Reader, queries: IntArray, k: int, embedding: bool
    ) -> None:
        first = found[0]
        depth = stored_depth(min(k, len(first.corpus)), len(first.corpus))
        wanted = np.unique(text_keys(first.queries)[queries])
        known = self._known_searches(first, scorer, wanted, depth)
        new = int((~known).sum())
        compared = new * len(first.corpus)
        if embedding:
            width = sum(reader.scorer.dimension for reader in found)  # type: ignore[attr-defined]
            each = self.rates.comparing(width, len(first.corpus), first.scorer) if new else 0.0  # type: ignore[arg-type]
            indexing, read = 0.0, (4 * width * len(first.corpus) if new else 0)
        else:
            indexing, each = self.rates.searching(first) if new else (0.0, 0.0)
            indexing, read = self._index(first, indexing) if new else (0.0, 0)
        self.add(
            f"searches by {(scorer.scorer if isinstance(scorer, Reader) else scorer).name}",
            unit=SEARCHES,
            count=new,
            stored=len(wanted) - new,
            read=read,
            written=new * depth * sizes.PER_RANK,
            seconds=each * compared + indexing,
        )

    def _known_searches(self, first: Reader, scorer: Scorer | Reader, wanted: KeyArray, depth: int) -> BoolArray:
        """Which of these queries were searched as deep; from now on all of them are."""
        key = _searches_key(first, scorer)
        before = self._searched.setdefault(key, {})
        known = np.zeros(len(wanted), dtype=bool)
        store = getattr(first.scorer, "store", None)
        if first.exists and store is not None:
            known |= store.searches.known(key, first.corpus, wanted, depth)
        for deep, keys in before.items():
            if deep >= depth:
                known |= np.isin(wanted, keys)
        before[depth] = np.union1d(before.get(depth, NO_KEYS), wanted)
        return known

    def _index(self, reader: Reader, each: float) -> tuple[float, int]:
        """Seconds and bytes to index the corpus, once in a process."""
        if reader.key in self._indexed:
            return 0.0, 0
        self._indexed.add(reader.key)
        return each * len(reader.corpus), sizes.bytes_of(reader.corpus)

    def score(self, scorer: Scorer | Reader, queries: IntArray, per_query: int) -> None:
        """Has passages of queries scored.

        Args:
            scorer: Teacher or assistant, or a student to come as a reader.
            queries: (n,) positions.
            per_query: Passages of each.
        """
        for reader in [scorer] if isinstance(scorer, Reader) else readers(scorer, self.collection):
            if reader.scorer.partial:
                continue
            if isinstance(reader.scorer, EmbeddingScorer):
                self.embed(reader, "query", queries)
            else:
                self._count_pairs(reader, queries, comparisons(reader.scorer, per_query))

    def _count_pairs(self, reader: Reader, queries: IntArray, per_query: int) -> None:
        distinct = np.unique(queries)
        stored = self._stored(reader)
        reused = np.minimum(stored[distinct], per_query)
        stored[distinct] -= reused
        new = len(distinct) * per_query - int(reused.sum())
        each = self.rates.scoring(reader) if new else 0.0
        texts = sum(sizes.bytes_of(table) / max(1, len(table)) for table in (reader.queries, reader.corpus))
        tokens = sum(self.rates.tokens(reader, role) for role in ("query", PASSAGES)) if new else 0
        what = "comparisons" if isinstance(reader.scorer, PairwiseScorer) else "pairs scored"
        self.add(
            f"{what} by {reader.scorer.name}",
            unit=PAIRS,
            count=new,
            stored=int(reused.sum()),
            tokens=int(new * tokens),
            read=int(new * texts),
            written=new * sizes.PER_SCORE if isinstance(reader.scorer, ThroughStore) else 0,
            seconds=None if each is None else each * new,
        )

    def _stored(self, reader: Reader) -> IntArray:
        """(Q,) pairs of each query that are stored and were not counted yet."""
        scorer: Any = reader.scorer
        if reader.key not in self._stored_pairs:
            counts = np.zeros(len(reader.queries), dtype=np.int64)
            if reader.exists and isinstance(scorer, StoringScorer) and scorer.store is not None:
                counts += scorer.store.scores.per_query(scorer.stored_under(reader.corpus), text_keys(reader.queries))
            self._stored_pairs[reader.key] = counts
        return self._stored_pairs[reader.key]


def comparisons(scorer: Scorer, per_query: int) -> int:
    """What is computed for a list: its passages, or the pairs of them that are compared."""
    if not isinstance(scorer, PairwiseScorer):
        return per_query
    every = per_query * (per_query - 1) // 2
    some = every if scorer.comparisons is None else min(every, -(-per_query * scorer.comparisons // 2))
    return some * (2 if scorer.both_orders else 1)


def _searches_key(first: Reader, scorer: Scorer | Reader) -> str:
    """The name under which searches are stored: of the retriever as a whole, joined ones included."""
    if isinstance(scorer, Reader) or not isinstance(first.scorer, EmbeddingScorer):
        return first.scorer.stored_under(first.corpus) if isinstance(first.scorer, StoringScorer) else first.key
    return first.key if hasattr(scorer, "view") else scorer.fingerprint
