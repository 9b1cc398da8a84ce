"""How many queries per second a system answers, the speed a user buys with a small student."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from st_mta.scorers import BM25, BiEncoderScorer, PairScorer
from st_mta.types import Collection, IntArray, Scorer

MIN_SECONDS = 3.0
ROUNDS = 6
BATCH = 32
MOST_PASSAGES = 1_000_000
"""Passages a bi-encoder searches at most while its speed is taken."""

Answer = Callable[[IntArray], object]


def queries_per_second(scorer: Scorer, collection: Collection, depth: int) -> float | None:
    """Answers batches of queries for some seconds.

    A bi-encoder encodes the queries and searches its stored embeddings, a re-ranker scores ``depth`` passages for one
    query at a time, BM25 searches. Nothing is read from or written to the score store.

    Args:
        scorer: The system.
        collection: Whose queries and passages are used.
        depth: Passages a re-ranker scores per query.

    Returns:
        Queries per second, or None where the scorer only looks up what others computed.
    """
    if isinstance(scorer, BiEncoderScorer):
        return _rate(_encode_and_search(scorer, collection), collection, BATCH)
    if isinstance(scorer, PairScorer):
        return _rate(_rerank(scorer, collection, depth), collection, 1)
    if isinstance(scorer, BM25):
        return _rate(lambda q: scorer.retrieve(collection.queries, collection.corpus, q, depth), collection, BATCH)
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


def _rate(answer: Answer, collection: Collection, batch: int) -> float:
    """Queries per second in the best of some rounds, after one call that builds indices and warms caches.

    What else the machine does makes a round slower, never faster: the best one says most about the system.
    """
    queries = np.arange(len(collection.queries), dtype=np.int64)
    answer(queries[:batch])
    return max(_one_round(answer, queries, batch) for _ in range(ROUNDS))


def _one_round(answer: Answer, queries: IntArray, batch: int) -> float:
    answered, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < MIN_SECONDS / ROUNDS:
        at = answered % len(queries)
        answered += len(queries[at : at + batch])
        answer(queries[at : at + batch])
    return answered / elapsed
