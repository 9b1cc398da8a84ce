"""How many queries per second a system answers, the speed a user buys with a small student."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from st_mta.scorers import BM25, BiEncoderScorer, PairScorer
from st_mta.types import Collection, IntArray, Scorer

ROUNDS, SECONDS_PER_ROUND = 6, 0.5
BATCH = 32
MOST_PASSAGES = 250_000
"""Passages a bi-encoder searches at most while its speed is taken."""

Answer = Callable[[IntArray], object]


def queries_per_second(scorers: Iterable[Scorer], collection: Collection, depth: int) -> dict[str, float | None]:
    """Answers batches of queries for some seconds per system.

    A bi-encoder encodes the queries and searches its stored embeddings, a re-ranker scores ``depth`` passages for one
    query at a time, BM25 searches. Nothing is read from or written to the score store. The systems take turns, and the
    best round of each counts: what else the machine does makes a round slower, never faster.

    Args:
        scorers: The systems.
        collection: Whose queries and passages are used.
        depth: Passages a re-ranker scores per query.

    Returns:
        Queries per second by name, None where the scorer only looks up what others computed.
    """
    ways = {scorer.name: _way(scorer, collection, depth) for scorer in scorers}
    queries = np.arange(len(collection.queries), dtype=np.int64)
    for way in ways.values():
        if way is not None:
            way.answer(queries[: way.batch])  # builds indices and warms caches
    best: dict[str, float | None] = dict.fromkeys(ways)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            if way is not None:
                best[name] = max(best[name] or 0.0, _rate(way, queries))
    return best


class _Way(NamedTuple):
    """How a system answers.

    Attributes:
        answer: Takes positions of queries.
        batch: Queries given at once.
    """

    answer: Answer
    batch: int


def _way(scorer: Scorer, collection: Collection, depth: int) -> _Way | None:
    if isinstance(scorer, BiEncoderScorer):
        return _Way(_encode_and_search(scorer, collection), BATCH)
    if isinstance(scorer, PairScorer):
        return _Way(_rerank(scorer, collection, depth), 1)
    if isinstance(scorer, BM25):
        return _Way(lambda q: scorer.retrieve(collection.queries, collection.corpus, q, depth), BATCH)
    return None


def _encode_and_search(scorer: BiEncoderScorer, collection: Collection) -> Answer:
    passages = np.arange(min(MOST_PASSAGES, len(collection.corpus)), dtype=np.int64)
    embeddings = scorer.embed(collection.corpus, "document", passages)
    matrix = embeddings.rows(slice(None))
    best = min(10, len(matrix) - 1)
    return lambda q: np.argpartition(-(scorer.encode(collection.queries.take(q), "query") @ matrix.T), best)


def _rerank(scorer: PairScorer, collection: Collection, depth: int) -> Answer:
    passages = collection.corpus.take(np.arange(min(depth, len(collection.corpus))))
    return lambda q: scorer.predict(collection.queries.take(q) * len(passages), passages)


def _rate(way: _Way, queries: IntArray) -> float:
    """Queries per second in one round."""
    answered, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS_PER_ROUND:
        at = answered % len(queries)
        answered += len(queries[at : at + way.batch])
        way.answer(queries[at : at + way.batch])
    return answered / elapsed
