"""How many queries per second a system answers, the speed a user buys with a small student."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from st_mta.types import Collection, IntArray, Scorer

ROUNDS, SECONDS_PER_ROUND = 4, 0.25
BATCH = 32


def queries_per_second(
    scorers: Iterable[Scorer], collection: Collection, depth: int, measured: Mapping[str, float] = {}
) -> dict[str, float | None]:
    """Answers batches of queries for some seconds per system; asks no re-ranker for a pair.

    A system that searches answers with ``Scorer.answer``. These take turns, and the best round of each counts: other
    load on the machine makes a round slower, never faster. The speed of a re-ranker is what the run's
    own scoring took, for ``depth`` pairs per query.

    Args:
        scorers: The systems.
        collection: Whose queries and passages are used.
        depth: Passages a re-ranker scores per query.
        measured: Pairs per second by name, of re-rankers that computed in earlier processes.

    Returns:
        Queries per second by name; None for a scorer that is not to be timed, or of which no pair was computed.
    """
    best: dict[str, float | None] = {}
    answers: dict[str, Callable[[IntArray], object]] = {}
    for scorer in scorers:
        best[scorer.name] = None
        if not scorer.timed:
            continue
        if answer := scorer.answer(collection.queries, collection.corpus, depth):
            answers[scorer.name] = answer
        elif pairs := scorer.pairs_per_second or measured.get(scorer.name):
            best[scorer.name] = pairs / min(depth, len(collection.corpus))
    queries = np.arange(len(collection.queries), dtype=np.int64)
    for answer in answers.values():
        answer(queries[:BATCH])  # builds indices and warms caches
    for _ in range(ROUNDS):
        for name, answer in answers.items():
            best[name] = max(best[name] or 0.0, _rate(answer, queries))
    return best


def _rate(answer: Callable[[IntArray], object], queries: IntArray) -> float:
    """Queries per second in one round."""
    answered, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < SECONDS_PER_ROUND:
        at = answered % len(queries)
        batch = queries[at : at + BATCH]
        answer(batch)
        answered += len(batch)
    return answered / elapsed


def speeds(scorers: Iterable[Scorer]) -> dict[str, float]:
    """Pairs per second by name, of the scorers that computed pairs in this process."""
    return {scorer.name: rate for scorer in scorers if (rate := scorer.pairs_per_second)}
