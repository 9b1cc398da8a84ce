"""The collection as a run trains on it: with training queries, generated ones among them, and a dev split."""

from __future__ import annotations

from functools import partial

from st_mta.collections import with_dev_split, with_training_queries, with_windows
from st_mta.generators import load_generator, with_generated_queries
from st_mta.generators.load import QUERIES_PER_PASSAGE
from st_mta.scorers import ScorerOptions, load_scorer
from st_mta.scorers.load import BM25_NAME
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.types import Collection

ROUND_TRIP = 20
"""Promptagator asks its own trained retriever for one passage; BM25, the default here, knows words alone."""


def collection_of_run(
    collection: Collection, arguments: MultiAssistantTrainingArguments, options: ScorerOptions
) -> Collection:
    """The collection with a train and a dev split, cut into windows where the arguments say so.

    Queries are generated where the arguments name a generator, into the store of ``options``; the dev split is of the
    collection's own queries where it has enough of them.

    Raises:
        InputError: If no training query can be had, or the collection is cut already and is to be cut again.
    """
    collection = _with_queries(collection, arguments, options)
    if arguments.windows is None:
        return collection
    return with_windows(collection, arguments.windows, arguments.window_stride, arguments.best_windows or 1)


def _with_queries(
    collection: Collection, arguments: MultiAssistantTrainingArguments, options: ScorerOptions
) -> Collection:
    with_dev = partial(with_dev_split, seed=arguments.seed, max_queries=arguments.max_eval_queries)
    if arguments.query_generator is None:
        return with_dev(with_training_queries(collection, arguments.seed, arguments.num_crops))
    if _can_be_split(collection):
        collection = with_dev(collection)
    return with_dev(_with_generated(collection, arguments, options))


def _can_be_split(collection: Collection) -> bool:
    """Whether its own queries give a dev split."""
    train, unlabelled = collection.qrels.get("train", {}), collection.unlabelled
    return bool(collection.qrels.get("dev")) or len(train) >= 2 or len(unlabelled) >= 2


def _with_generated(
    collection: Collection, arguments: MultiAssistantTrainingArguments, options: ScorerOptions
) -> Collection:
    count = arguments.queries_per_passage or QUERIES_PER_PASSAGE
    depth = ROUND_TRIP if arguments.round_trip is None else arguments.round_trip
    generator = load_generator(
        arguments.query_generator,
        queries_per_passage=count,
        seed=arguments.seed,
        generation=arguments.query_generator_options,
        options=options,
    )
    return with_generated_queries(
        collection,
        generator,
        arguments.num_crops,
        queries_per_passage=count,
        seed=arguments.seed,
        round_trip=depth,
        retriever=load_scorer(arguments.round_trip_with or BM25_NAME, options) if depth else None,
    )
