"""Training queries for a corpus that has none: random spans of its passages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa

from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.types import Collection, Texts

BLOCK = 4096  # passages read at a time
PATIENCE = 10  # passes over the corpus without a new span, after which there are taken to be no more


def crop_queries(
    collection: Collection, num_queries: int, seed: int, min_words: int = 4, max_words: int = 12
) -> Collection:
    """Adds random spans of passages as unlabelled training queries: what is relevant to them the teacher says.

    A span is found by its own words, so its passage as a label would teach little but matching words.

    Every usable passage gives one span before any gives a second. A span has at most half of its passage's words, so
    that the passage keeps something to be found by; passages of fewer than ``2 * min_words`` words are passed over.
    A very small corpus may not hold ``num_queries`` different spans; then there are fewer.

    Args:
        collection: The collection, with or without training queries of its own.
        num_queries: Number of spans wanted.
        seed: Seed of the choice; the same seed gives the same spans.
        min_words: Shortest span, in words divided by white space.
        max_words: Longest span.

    Returns:
        The collection with the spans at the end of its queries and of its unlabelled ones.

    Raises:
        InputError: If no passage is long enough, or the numbers make no sense.
    """
    _check(num_queries, min_words, max_words)
    generator = np.random.default_rng(seed)
    spans: dict[str, str] = {}  # query id -> query
    known = set(collection.queries.ids)
    fruitless = 0
    with progress("Cropping queries", num_queries, "queries") as bar:
        while len(spans) < num_queries and fruitless < PATIENCE:
            before = len(spans)
            for query_id, text in _one_of_each(collection.corpus, generator, min_words, max_words):
                if query_id not in spans and query_id not in known:
                    spans[query_id] = text
                    bar.update()
                if len(spans) == num_queries:
                    break
            fruitless = 0 if len(spans) > before else fruitless + 1
    if not spans:
        _refuse_corpus(collection, min_words)
    return _with_spans(collection, spans)


def _one_of_each(
    corpus: Texts, generator: np.random.Generator, min_words: int, max_words: int
) -> Iterator[tuple[str, str]]:
    """Query id and text of one span of every usable passage, in random order."""
    order = generator.permutation(len(corpus))
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        draws = generator.random((len(block), 2))
        for passage_id, passage, draw in zip(corpus.take_ids(block), corpus.take(block), draws):
            words = passage.split()
            longest = min(max_words, len(words) // 2)
            if longest < min_words:
                continue
            length = min_words + int(draw[0] * (longest - min_words + 1))
            first = int(draw[1] * (len(words) - length + 1))
            yield f"crop:{passage_id}:{first}:{length}", " ".join(words[first : first + length])


def _with_spans(collection: Collection, spans: dict[str, str]) -> Collection:
    added = np.arange(len(spans), dtype=np.int64) + len(collection.queries)
    return replace(
        collection,
        queries=_appended(collection.queries, Texts(spans, spans.values())),
        unlabelled=np.concatenate([collection.unlabelled, added]),
        notes=(*collection.notes, f"{len(spans)} training queries are random spans of passages."),
    )


def _appended(first: Texts, second: Texts) -> Texts:
    ids = pa.chunked_array([pa.array([*first.ids, *second.ids], type=pa.large_string())])
    return Texts(ids, pa.chunked_array([*first.column.chunks, *second.column.chunks], type=pa.large_string()))


def _check(num_queries: int, min_words: int, max_words: int) -> None:
    if num_queries < 1 or not 1 <= min_words <= max_words:
        raise InputError(
            expected="num_queries >= 1 and 1 <= min_words <= max_words",
            got=f"num_queries={num_queries}, min_words={min_words}, max_words={max_words}",
            consequence="no span could be cut",
            remedy="give numbers within these bounds",
        )


def _refuse_corpus(collection: Collection, min_words: int) -> None:
    raise InputError(
        expected=f"passages of at least {2 * min_words} words to crop queries from",
        got=f"none among the {len(collection.corpus)} passages of {collection.name!r}",
        consequence="there would be no training queries",
        remedy="lower min_words, or give training queries",
    )
