"""How fast the models of a run are on this machine: a second or so of each, on texts of its own collection."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from st_mta.recipes.plan.readers import Reader
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.base import PairScorer
from st_mta.scorers.batches import estimated_tokens
from st_mta.scorers.lengths import longest_input
from st_mta.scorers.listwise import ListScorer
from st_mta.scorers.preferences import PairwiseScorer
from st_mta.scorers.through_store import ThroughStore
from st_mta.search.backends import BACKENDS
from st_mta.search.corpus import search_corpus
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.types import FloatArray, IntArray, Scorer, Texts

SECONDS = 1.0
"""A measurement is repeated with more until it takes so long."""
FIRST, GROWTH = 2, 4
TEXTS_AT_MOST, PASSAGES_AT_MOST, QUERIES_AT_MOST = 512, 2**15, 256
PASSAGES_INDEXED = 2048
SAMPLE = 1000
"""Texts whose tokens are counted."""
DEPTH = 100
PASSAGES_LISTED = 16
"""In a list for scorers of lists."""


class Rates:
    """Seconds and tokens by the piece; every model is measured once.

    Args:
        seed: Of the texts that are measured on.
    """

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self._known: dict[tuple[Any, ...], Any] = {}

    def encoding(self, reader: Reader, role: Role) -> float | None:
        """Seconds to encode a text."""
        scorer, texts = reader.scorer, reader.texts(role)

        def encode(count: int) -> None:
            scorer.encode(texts.take(self._some(len(texts), count)), role)  # type: ignore[attr-defined]

        found: float | None
        found = self._once(("encode", id(scorer), role), scorer, lambda: seconds_each(encode, TEXTS_AT_MOST))
        return found

    def scoring(self, reader: Reader) -> float | None:
        """Seconds to score a pair; queries and passages are paired at random."""
        scorer = reader.scorer
        found: float | None = self._once(("score", id(scorer)), scorer, lambda: self._measured_scoring(reader))
        return found

    def searching(self, reader: Reader) -> tuple[float, float]:
        """Seconds to index a passage, and to compare a query with a passage, of a retriever without embeddings."""
        scorer = reader.scorer
        found = self._once(("search", id(scorer)), scorer, lambda: self._measured_search(reader))
        return found or (0.0, 0.0)

    def comparing(self, dimension: int, passages: int, scorer: EmbeddingScorer) -> float:
        """Seconds to compare a query with a passage by embeddings, in the index that the scorer searches."""
        count = min(passages, PASSAGES_AT_MOST)
        found = self._once(
            ("compare", dimension, count, scorer.backend), None, lambda: _comparing(dimension, count, scorer)
        )
        return float(found or 0.0)

    def tokens(self, reader: Reader, role: Role) -> float:
        """Tokens of a text, as far as the model reads it."""
        return float(self._once(("tokens", id(reader.scorer), role), None, lambda: self._tokens(reader, role)))

    def _tokens(self, reader: Reader, role: Role) -> float:
        texts = reader.texts(role)
        return mean_tokens(getattr(reader.scorer, "model", None), texts.take(self._some(len(texts), SAMPLE)))

    def _measured_scoring(self, reader: Reader) -> float:
        corpus, scorer = self._part_of(reader.corpus), _apart(reader.scorer)
        if isinstance(scorer, (ListScorer, PairwiseScorer)):
            return self._measured_lists(reader, corpus, scorer)

        def score(count: int) -> None:
            queries, passages = self._some(len(reader.queries), count), self._some(len(corpus), count)
            if isinstance(scorer, PairScorer):
                scorer.predict(reader.queries.take(queries), corpus.take(passages))
            else:
                scorer.score(reader.queries, corpus, queries, passages)

        return seconds_each(score, TEXTS_AT_MOST)

    def _measured_lists(self, reader: Reader, corpus: Texts, scorer: ListScorer | PairwiseScorer) -> float:
        """Seconds for a passage of a list, or for a comparison."""

        def ask(count: int) -> None:
            first, second = (corpus.take(self._some(len(corpus), count)[::step]) for step in (1, -1))
            queries = reader.queries.take(self._some(len(reader.queries), count))
            if isinstance(scorer, PairwiseScorer):
                scorer.prefer(queries, first, second)
                return
            lists = [first[start : start + PASSAGES_LISTED] for start in range(0, count, PASSAGES_LISTED)]
            scorer.predict_lists(queries[: len(lists)], lists)

        return seconds_each(ask, TEXTS_AT_MOST)

    def _measured_search(self, reader: Reader) -> tuple[float, float]:
        corpus, queries = self._part_of(reader.corpus), np.unique(self._some(len(reader.queries), QUERIES_AT_MOST))
        scorer = _apart(reader.scorer)
        indexing = _seconds(lambda: scorer.retrieve(reader.queries, corpus, queries[:1], DEPTH))
        searching = _seconds(lambda: scorer.retrieve(reader.queries, corpus, queries, DEPTH))
        return indexing / len(corpus), searching / len(queries) / len(corpus)

    def _part_of(self, corpus: Texts) -> Texts:
        return corpus.select(np.sort(self._some(len(corpus), min(len(corpus), PASSAGES_INDEXED))))

    def _some(self, size: int, count: int) -> IntArray:
        """Places of texts, drawn with repetition where there are too few."""
        random = np.random.default_rng([self.seed, size])
        if count <= size:
            return random.permutation(size)[:count]
        return random.integers(0, size, count)

    def _once(self, key: tuple[Any, ...], scorer: Scorer | None, measure: Callable[[], Any]) -> Any:
        """What was measured before, or is measured now; nothing is asked of a service that is paid for."""
        if scorer is not None and not scorer.timed:
            return None
        if key not in self._known:
            self._known[key] = measure()
        return self._known[key]


def _apart(scorer: Scorer) -> Scorer:
    """A copy of a scorer that computes everything, and keeps nothing."""
    copied = copy.copy(scorer)
    if isinstance(copied, ThroughStore):
        copied.store = None
    return copied


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def seconds_each(work: Callable[[int], None], most: int) -> float:
    """Seconds for each of many, from as many as take a second, and no more than ``most``."""
    work(1)  # loads and compiles
    count = FIRST
    while True:
        took = _seconds(partial(work, count))
        if took >= SECONDS or count >= most:
            return took / count
        count = min(most, count * GROWTH)


def mean_tokens(model: Any, texts: list[str]) -> float:
    """Mean number of tokens, as far as the model reads; estimated from bytes where it has no tokenizer."""
    if not texts:
        return 0.0
    tokenizer, limit = getattr(model, "tokenizer", None), None
    if model is not None and hasattr(model, "max_seq_length"):
        limit = longest_input(model)
    try:
        counts = np.array([len(ids) for ids in tokenizer(texts)["input_ids"]])  # type: ignore[misc]
    except (TypeError, ValueError, KeyError):
        return float(estimated_tokens(texts, limit).mean())
    return float((counts if limit is None else np.minimum(counts, limit)).mean())


def random_rows(count: int, dimension: int) -> FloatArray:
    """(count, dimension) random rows of length one."""
    rows = np.random.default_rng(0).standard_normal((count, dimension)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def in_memory(rows: FloatArray) -> Embeddings:
    """Rows (n, D) as embeddings."""
    return Embeddings((rows,), np.zeros(len(rows), dtype=np.int64), np.arange(len(rows)))


def _comparing(dimension: int, passages: int, scorer: EmbeddingScorer) -> float:
    """Of random embeddings; the first search is not timed, since it sends passages to a device."""
    corpus, queries = in_memory(random_rows(passages, dimension)), in_memory(random_rows(QUERIES_AT_MOST, dimension))
    search = BACKENDS[scorer.backend](corpus, scorer.device, 2**16)
    search_corpus(queries.at(np.arange(2)), corpus, min(DEPTH, passages), search)
    took = _seconds(lambda: search_corpus(queries, corpus, min(DEPTH, passages), search))
    return took / passages / len(queries)
