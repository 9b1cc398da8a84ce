"""How many queries per second a system answers, the speed a user buys with a small student."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from st_mta.scorers import BiEncoderScorer
from st_mta.scorers.base import PairScorer
from st_mta.types import Collection, Scorer

MIN_SECONDS = 1.0
MAX_QUERIES = 64


def queries_per_second(scorer: Scorer, collection: Collection, depth: int) -> float | None:
    """Answers test queries one after the other for at least a second.

    A bi-encoder encodes the query and searches its stored embeddings; a re-ranker scores ``depth`` passages of the
    corpus; BM25 searches. Nothing is read from or written to the score store. None where the scorer only looks up
    what others computed.

    Args:
        scorer: The system.
        collection: Whose queries and passages are used.
        depth: Passages a re-ranker scores per query.
    """
    answer: Callable[[str], object]
    texts = collection.queries.take(np.arange(min(MAX_QUERIES, len(collection.queries))))
    passages = collection.corpus.take(np.arange(min(depth, len(collection.corpus))))
    if isinstance(scorer, BiEncoderScorer):
        embeddings = scorer.embed(collection.corpus, "document", np.arange(len(collection.corpus)))
        matrix = embeddings.rows(slice(None, 1_000_000))
        answer = lambda text: np.argpartition(-(scorer.encode([text], "query") @ matrix.T)[0], 0)  # noqa: E731
    elif isinstance(scorer, PairScorer):
        answer = lambda text: scorer.predict([text] * len(passages), passages)  # noqa: E731
    elif scorer.kind == "bm25":
        answer = lambda text: scorer.retrieve(collection.queries, collection.corpus, np.zeros(1, np.int64), depth)  # noqa: E731, E501
    else:
        return None
    answer(texts[0])  # the first call builds indices and warms caches
    answered, start = 0, time.perf_counter()
    while time.perf_counter() - start < MIN_SECONDS:
        answer(texts[answered % len(texts)])
        answered += 1
    return answered / (time.perf_counter() - start)
