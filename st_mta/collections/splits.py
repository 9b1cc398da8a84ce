"""Makes sure that there is something to train on and something to choose by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from st_mta.collections.assemble import notes_on_shared_queries
from st_mta.collections.crops import crop_queries
from st_mta.types import Collection, IntArray, Qrels


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


def with_dev_split(collection: Collection, seed: int, fraction: float = 0.1, max_queries: int = 500) -> Collection:
    """The collection with a dev split: its own, at most ``max_queries`` of it, or a part of the training queries.

    The test split is never touched. With fewer than two labelled training queries, unlabelled ones are taken (crops of
    passages where there are none of them either); they come with empty judgements, for the teacher to fill in.

    Args:
        collection: Any collection.
        seed: Seed of the choice; the same seed chooses the same queries.
        fraction: Share of the training queries to take, between 0 and 1.
        max_queries: Upper bound of their number.
    """
    if own := collection.qrels.get("dev"):
        return collection if len(own) <= max_queries else _with_part_of_dev(collection, seed, max_queries)
    train = collection.qrels.get("train", {})
    if len(train) < 2:
        return _with_unlabelled_dev(collection, seed, fraction, max_queries)
    ids = list(train)
    chosen = {ids[row] for row in _part(len(ids), seed, fraction, max_queries)}
    dev = {query_id: train[query_id] for query_id in ids if query_id in chosen}
    rest = {query_id: train[query_id] for query_id in ids if query_id not in chosen}
    shared = notes_on_shared_queries(collection.queries, {"train": rest, "dev": dev})
    note = f"The dev split is {len(dev)} of {len(train)} training queries (seed {seed})."
    return replace(
        collection,
        qrels={**collection.qrels, "train": rest, "dev": dev},
        notes=(*collection.notes, note, *shared),
    )


def _part(count: int, seed: int, fraction: float, max_queries: int) -> IntArray:
    """Some of ``count`` rows, at least one, and at least one left."""
    size = min(max_queries, max(1, round(fraction * count)), count - 1)
    return np.sort(np.random.default_rng(seed).choice(count, size, replace=False))


def _with_part_of_dev(collection: Collection, seed: int, max_queries: int) -> Collection:
    dev = collection.qrels["dev"]
    ids = list(dev)
    chosen = np.sort(np.random.default_rng(seed).choice(len(ids), max_queries, replace=False))
    part = {ids[row]: dev[ids[row]] for row in chosen}
    note = f"Of the {len(ids)} queries of the dev split {max_queries} are used (seed {seed})."
    return replace(collection, qrels={**collection.qrels, "dev": part}, notes=(*collection.notes, note))


def _with_unlabelled_dev(collection: Collection, seed: int, fraction: float, max_queries: int) -> Collection:
    if len(collection.unlabelled) < 2:
        collection = crop_queries(collection, max(2, max_queries), seed)
    available = collection.unlabelled
    rows = _part(len(available), seed, fraction, max_queries)
    dev: Qrels = {query_id: {} for query_id in collection.queries.take_ids(available[rows])}
    return replace(
        collection,
        qrels={**collection.qrels, "dev": dev},
        unlabelled=np.delete(available, rows),
        notes=(
            *collection.notes,
            f"The dev split is {len(dev)} of {len(available)} unlabelled training queries (seed {seed}), "
            "judged by the teacher: quality on dev is agreement with it.",
        ),
    )
