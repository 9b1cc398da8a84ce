"""A collection with generated training queries: made from a sample of its passages, kept where they find them back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from st_mta.errors import InputError
from st_mta.generators.base import QueryGenerator
from st_mta.mining.copies import first_of_same
from st_mta.ranges import check_number, count_from
from st_mta.types import BoolArray, Collection, IntArray, Qrels, Scorer, Texts, by_query

TRAIN = "train"


@dataclass(frozen=True)
class Generated:
    """Queries with the passages they were made from.

    Attributes:
        queries: M distinct texts.
        query: (P,) number of the query of each pair, ascending.
        passage: (P,) position of its passage.
    """

    queries: Texts
    query: IntArray
    passage: IntArray

    def keep(self, pairs: BoolArray) -> Generated:
        """Only the pairs marked True, and the queries that have one."""
        left, query = np.unique(self.query[pairs], return_inverse=True)
        return Generated(self.queries.select(left), query.astype(np.int64), self.passage[pairs])


def with_generated_queries(
    collection: Collection,
    generator: QueryGenerator,
    num_queries: int = 4000,
    *,
    queries_per_passage: int = 3,
    seed: int = 42,
    round_trip: int = 0,
    retriever: Scorer | None = None,
) -> Collection:
    """Adds generated queries to the training queries, each judged to be answered by its passage.

    GPL (Wang et al. 2022) and Promptagator (Dai et al. 2022, "round-trip filtering") train on nothing else. A query
    that several passages gave is one query with several positives; blank ones and those that the collection has
    already, in whatever split, are left out.

    Args:
        collection: With or without training queries of its own.
        generator: Makes the queries.
        num_queries: How many are generated at most: of ``num_queries / queries_per_passage`` passages, drawn by the
            seed.
        queries_per_passage: Queries taken of a passage at most, the first that the generator gives.
        seed: Seed of the sample; the same seed takes the same passages.
        round_trip: A query stays where its passage is among so many that the retriever finds for it, and goes
            otherwise; 0 keeps every query.
        retriever: A scorer that can search; needed for the round trip.

    Raises:
        InputError: If no query is left, or there is no retriever for the round trip.

    Example:
        ::

            generator = load_generator("doc2query/msmarco-t5-base-v1")
            collection = with_generated_queries(collection, generator, round_trip=20, retriever=BM25())
    """
    for name, number in (("num_queries", num_queries), ("queries_per_passage", queries_per_passage)):
        check_number(name, number, count_from(1))
    passages = _sample(generator.available(collection.corpus), math.ceil(num_queries / queries_per_passage), seed)
    made = generator.queries(collection.corpus, passages)
    found = _distinct(collection, passages, [queries[:queries_per_passage] for queries in made], num_queries)
    notes = [f"{len(found.queries)} training queries were made from {len(passages)} passages by {generator.name}."]
    if round_trip:
        kept = found.keep(_finds_back(collection, found, round_trip, retriever))
        lost = len(found.queries) - len(kept.queries)
        name = retriever.name if retriever is not None else ""
        notes.append(f"{lost} of them were left out, since {name} does not find their passage among {round_trip}.")
        found = kept
    if not len(found.queries):
        raise InputError(
            expected=f"generated queries for {collection.name!r}",
            got=" ".join(["none that is left:", *notes]),
            remedy="look at what the generator makes; round_trip=0 keeps queries that do not find their passage",
        )
    return _added(collection, found, notes)


def _sample(available: IntArray, size: int, seed: int) -> IntArray:
    return np.sort(np.random.default_rng(seed).permutation(available)[:size])


def _distinct(collection: Collection, passages: IntArray, made: list[list[str]], most: int) -> Generated:
    """The first ``most`` distinct texts, without blank ones and those of the collection."""
    known = {_plain(text) for text in collection.queries.column.to_pylist()}
    numbers: dict[str, int] = {}
    ids: list[str] = []
    taken, pairs = set(collection.queries.ids), []
    for passage, passage_id, texts in zip(passages.tolist(), collection.corpus.take_ids(passages), made):
        for number, text in enumerate(map(_plain, texts)):
            query_id = f"generated:{passage_id}:{number}"
            new = text not in numbers
            if not text or text in known or (new and (len(numbers) == most or query_id in taken)):
                continue
            if new:
                ids.append(query_id)
            pairs.append((numbers.setdefault(text, len(numbers)), passage))
    query, passage_of = np.unique(np.asarray(pairs, dtype=np.int64).reshape(-1, 2), axis=0).T
    return Generated(Texts(ids, list(numbers)), query, passage_of)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _finds_back(collection: Collection, found: Generated, depth: int, retriever: Scorer | None) -> BoolArray:
    """(P,) whether the passage, or one with its text, is among the best of its query."""
    if retriever is None or not retriever.can_retrieve:
        raise InputError(
            expected="a retriever for the round trip of generated queries",
            got="none" if retriever is None else f"{retriever.name!r}, which only re-ranks",
            remedy="name bm25 or a bi-encoder, or leave the round trip out (0)",
        )
    if not len(found.queries):
        return np.zeros(0, dtype=np.bool_)
    numbers, k = np.arange(len(found.queries)), min(depth, len(collection.corpus))
    best = retriever.retrieve(found.queries, collection.corpus, numbers, k).passages[found.query]
    first = first_of_same(collection)
    same = (best >= 0) & (first[best] == first[found.passage][:, None])
    return np.asarray(same.any(axis=1))


def _added(collection: Collection, found: Generated, notes: list[str]) -> Collection:
    query_ids = found.queries.take_ids(found.query)
    qrels: Qrels = by_query(query_ids, collection.judged_ids(found.passage), [1] * len(query_ids))
    before = collection.queries
    texts = pa.chunked_array([*before.column.chunks, *found.queries.column.chunks], pa.large_string())
    return replace(
        collection,
        queries=Texts([*before.ids, *found.queries.ids], texts),
        qrels={**collection.qrels, TRAIN: {**collection.qrels.get(TRAIN, {}), **qrels}},
        notes=(*collection.notes, *notes),
    )
