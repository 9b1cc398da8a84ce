"""Makes sure that there is something to train on and something to choose by."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache

import numpy as np
import pyarrow as pa

from st_mta.collections.assemble import notes_on_shared_queries
from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.scripts import WITHOUT_BLANKS, character
from st_mta.types import Collection, IntArray, Qrels, Texts

DEV_FRACTION = 0.1  # of the training queries, where the dev split is made of them
MIN_WORDS, MAX_WORDS = 4, 12  # of a crop, divided by white space; without blanks two characters count as a word
BLOCK = 4096  # passages read at a time
PATIENCE = 10  # passes over the corpus without a new crop, after which there are taken to be no more


def with_training_queries(collection: Collection, seed: int, num_crops: int) -> Collection:
    """The collection with training queries: its own, labelled or not, or else crops of its passages.

    Args:
        collection: Any collection.
        seed: Seed of the crops.
        num_crops: How many crops to make where they are needed.

    Raises:
        InputError: If crops are needed and no passage is long enough.
    """
    if collection.qrels.get("train") or len(collection.unlabelled):
        return collection
    return crop_queries(collection, num_crops, seed)


def with_dev_split(collection: Collection, seed: int, max_queries: int = 500) -> Collection:
    """The collection with a dev split: its own, at most ``max_queries`` of it, or a tenth of the training queries.

    The test split is never touched. With fewer than two labelled training queries, unlabelled ones are taken (crops of
    passages where there are none of them either); they come with empty judgements, for the teacher to fill in.

    Args:
        collection: Any collection.
        seed: Seed of the choice; the same seed chooses the same queries.
        max_queries: Upper bound of their number.
    """
    if own := collection.qrels.get("dev"):
        return collection if len(own) <= max_queries else _with_part_of_dev(collection, own, seed, max_queries)
    train = collection.qrels.get("train", {})
    if len(train) < 2:
        return _with_unlabelled_dev(collection, seed, max_queries)
    ids = list(train)
    dev = {ids[row]: train[ids[row]] for row in _part(len(ids), seed, max_queries)}
    rest = {query_id: train[query_id] for query_id in ids if query_id not in dev}
    note = f"The dev split is {len(dev)} of {len(train)} training queries (seed {seed})."
    shared = notes_on_shared_queries(collection.queries, {"train": rest, "dev": dev})
    return _with_dev(collection, dev, note, *shared, train=rest)


def _part(count: int, seed: int, max_queries: int) -> IntArray:
    """A tenth of ``count`` rows, at least one."""
    return _drawn(count, min(max_queries, max(1, round(DEV_FRACTION * count))), seed)


def _drawn(count: int, size: int, seed: int) -> IntArray:
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


def _with_dev(collection: Collection, dev: Qrels, *notes: str, **others: Qrels) -> Collection:
    qrels = {**collection.qrels, **others, "dev": dev}
    return replace(collection, qrels=qrels, notes=(*collection.notes, *notes))


def _with_part_of_dev(collection: Collection, dev: Qrels, seed: int, max_queries: int) -> Collection:
    ids = list(dev)
    part = {ids[row]: dev[ids[row]] for row in _drawn(len(ids), max_queries, seed)}
    note = f"Of the {len(ids)} queries of the dev split {max_queries} are used (seed {seed})."
    return _with_dev(collection, part, note)


def _with_unlabelled_dev(collection: Collection, seed: int, max_queries: int) -> Collection:
    if len(collection.unlabelled) < 2:
        collection = crop_queries(collection, max(2, max_queries), seed)
    available = collection.unlabelled
    rows = _part(len(available), seed, max_queries)
    dev: Qrels = {query_id: {} for query_id in collection.queries.take_ids(available[rows])}
    note = (
        f"The dev split is {len(dev)} of {len(available)} unlabelled training queries (seed {seed}), "
        "judged by the teacher: quality on dev is agreement with it."
    )
    return _with_dev(replace(collection, unlabelled=np.delete(available, rows)), dev, note)


def crop_queries(collection: Collection, num_queries: int, seed: int) -> Collection:
    """Adds random spans of passages as unlabelled training queries: the teacher says what is relevant to them.

    A span is found by its own words, so its passage as a label would teach little but matching words.

    Every usable passage gives one span before any gives a second. A span has 4 to 12 words and at most half of its
    passage's, so that the passage keeps something to be found by; passages of fewer than 8 words are skipped.
    In scripts without blanks two characters count as a word.
    A very small corpus may not hold ``num_queries`` different spans; then there are fewer.

    Args:
        collection: The collection, with or without training queries of its own.
        num_queries: Number of spans wanted.
        seed: Seed of the choice; the same seed gives the same spans.

    Returns:
        The collection with the spans at the end of its queries and of its unlabelled ones.

    Raises:
        InputError: If no passage is long enough, or ``num_queries`` is below 1.
    """
    if num_queries < 1:
        raise InputError(expected="num_queries >= 1", got=str(num_queries), remedy="ask for at least one query")
    generator = np.random.default_rng(seed)
    spans: dict[str, str] = {}  # query id -> query
    known = set(collection.queries.ids)
    fruitless = 0
    with progress("Cropping queries", num_queries, "queries") as bar:
        while len(spans) < num_queries and fruitless < PATIENCE:
            before = len(spans)
            for query_id, text in _one_of_each(collection.corpus, generator):
                if query_id not in spans and query_id not in known:
                    spans[query_id] = text
                    bar.update()
                if len(spans) == num_queries:
                    break
            fruitless = 0 if len(spans) > before else fruitless + 1
    if not spans:
        raise InputError(
            expected=f"passages of at least {2 * MIN_WORDS} words to crop queries from (without blanks between words, "
            f"of {4 * MIN_WORDS} characters)",
            got=f"none among the {len(collection.corpus)} passages of {collection.name!r}",
            remedy="give training queries, or longer passages",
        )
    return _with_spans(collection, spans)


def _one_of_each(corpus: Texts, generator: np.random.Generator) -> Iterator[tuple[str, str]]:
    """Query id and text of one span of every usable passage, in random order."""
    order = generator.permutation(len(corpus))
    for start in range(0, len(order), BLOCK):
        block = order[start : start + BLOCK]
        draws = generator.random((len(block), 2))
        for passage_id, passage, draw in zip(corpus.take_ids(block), corpus.take(block), draws):
            words = word_spans(passage)
            longest = min(MAX_WORDS, len(words) // 2)
            if longest < MIN_WORDS:
                continue
            length = MIN_WORDS + int(draw[0] * (longest - MIN_WORDS + 1))
            first = int(draw[1] * (len(words) - length + 1))
            start, end = words[first][0], words[first + length - 1][1]
            yield f"crop:{passage_id}:{first}:{length}", " ".join(passage[start:end].split())


def word_spans(text: str) -> list[tuple[int, int]]:
    """Begin and end of every word; without blanks between words, of every two characters."""
    return [word.span() for word in _word_pattern().finditer(text)]


@cache
def _word_pattern() -> re.Pattern[str]:
    return re.compile(rf"(?:{character()}){{1,2}}|[^\s{WITHOUT_BLANKS}]+")


def _with_spans(collection: Collection, spans: dict[str, str]) -> Collection:
    queries = collection.queries
    added = np.arange(len(spans), dtype=np.int64) + len(queries)
    texts = pa.chunked_array([*queries.column.chunks, pa.array(spans.values(), pa.large_string())])
    return replace(
        collection,
        queries=Texts([*queries.ids, *spans], texts),
        unlabelled=np.concatenate([collection.unlabelled, added]),
        notes=(*collection.notes, f"{len(spans)} training queries are random spans of passages."),
    )
