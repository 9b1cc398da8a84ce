"""The collections, cut to a budget: the same cut for every arm and seed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.assistants.budgets import Cut
from st_mta.collections import load_collection, with_dev_split
from st_mta.types import Collection, Qrels

SEED = 42


def cut_collection(folder: Path, name: str, cut: Cut) -> Collection:
    """A collection with at most the queries and passages of the cut.

    Every passage that is judged for a kept query stays, so that no query becomes easier by losing a relevant
    passage; the others are a seeded sample.
    """
    whole = with_dev_split(load_collection(folder / name), SEED, max_queries=cut.dev_queries)
    limits = {"train": cut.train_queries, "dev": cut.dev_queries, "test": cut.test_queries}
    qrels = {split: _sample(whole.qrels[split], limit) for split, limit in limits.items() if split in whole.qrels}
    if cut.passages is None or len(whole.corpus) <= cut.passages:
        return replace(whole, qrels=qrels)
    judged = {passage for split in qrels.values() for grades in split.values() for passage in grades}
    kept = whole.corpus.find(sorted(judged))
    others = np.setdiff1d(np.arange(len(whole.corpus)), kept)
    drawn = np.random.default_rng(SEED).permutation(others)[: max(0, cut.passages - len(kept))]
    return replace(whole, qrels=qrels, corpus=whole.corpus.select(np.sort(np.concatenate([kept, drawn]))))


def _sample(qrels: Qrels, size: int | None) -> Qrels:
    ids = list(qrels)
    chosen = np.sort(np.random.default_rng(SEED).permutation(len(ids))[:size])
    return {ids[row]: qrels[ids[row]] for row in chosen}
