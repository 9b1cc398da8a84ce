"""Makes sure that there is something to train on and something to choose by."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from st_mta.collections.assemble import notes_on_shared_queries
from st_mta.collections.crops import crop_queries
from st_mta.types import Collection


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

    The test split is never touched. With fewer than two labelled training queries there is nothing to cut; crops of
    passages are then the development queries, each with its own passage as the one to find, and a note says so.

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
        return _with_crops_as_dev(collection, seed, max_queries)
    size = min(max_queries, max(1, round(fraction * len(train))), len(train) - 1)
    ids = list(train)
    chosen = {ids[row] for row in np.random.default_rng(seed).choice(len(ids), size, replace=False)}
    dev = {query_id: train[query_id] for query_id in ids if query_id in chosen}
    rest = {query_id: train[query_id] for query_id in ids if query_id not in chosen}
    shared = notes_on_shared_queries(collection.queries, {"train": rest, "dev": dev})
    return replace(
        collection,
        qrels={**collection.qrels, "train": rest, "dev": dev},
        notes=(*collection.notes, f"The dev split is {size} of {len(train)} training queries (seed {seed}).", *shared),
    )


def _with_part_of_dev(collection: Collection, seed: int, max_queries: int) -> Collection:
    dev = collection.qrels["dev"]
    ids = list(dev)
    chosen = np.sort(np.random.default_rng(seed).choice(len(ids), max_queries, replace=False))
    part = {ids[row]: dev[ids[row]] for row in chosen}
    note = f"Of the {len(ids)} queries of the dev split {max_queries} are used (seed {seed})."
    return replace(collection, qrels={**collection.qrels, "dev": part}, notes=(*collection.notes, note))


def _with_crops_as_dev(collection: Collection, seed: int, max_queries: int) -> Collection:
    train = collection.qrels.get("train", {})
    cropped = crop_queries(collection, max_queries, seed)
    crops = {query_id: judged for query_id, judged in cropped.qrels["train"].items() if query_id not in train}
    qrels = {**collection.qrels, "dev": crops}
    note = f"No labelled training query to spare: {len(crops)} crops of passages are the dev split (seed {seed})."
    return replace(cropped, qrels=qrels, notes=(*collection.notes, note))
