"""Encodes a collection with a bi-encoder and keeps the embeddings, for later commands that search or score with it.

Example:
  st-mta encode --collection pydocs --model minilm --store shared --precision bf16 --shard 3/16
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from st_mta.cli.show import wide_console
from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.recipes.options import INPUTS, OnCollection, Sharded
from st_mta.scorers import EmbeddingScorer, load_scorer
from st_mta.scorers.shards import WHOLE, Stored, store_embeddings
from st_mta.stores import Store
from st_mta.stores.embeddings import Role
from st_mta.types import Collection, Texts

ROLES = ("queries", "passages", "both")


@dataclass(frozen=True, kw_only=True)
class Config(Sharded, OnCollection):
    """Options of ``st-mta encode``."""

    model: str = option(group=INPUTS, aliases=("--scorer",), help="A bi-encoder: a Hub id, a folder, or minilm.")
    role: str = option("both", group=INPUTS, basic=True, choices=ROLES, help="What to encode.")


def run(config: Config) -> None:
    """Encodes what the store does not hold; prints how much that was."""
    collection, store = load_collection(config.collection), Store(config.store)
    scorer = load_scorer(config.model, config.scorer_options(), store=store)
    if not isinstance(scorer, EmbeddingScorer):
        raise InputError(
            expected="a bi-encoder, whose embeddings can be kept",
            got=f"{scorer.name} ({scorer.kind})",
            remedy="st-mta score keeps the scores of other kinds",
        )
    shard, stored = config.the_shard(), Stored()
    for role, texts in _tables(collection, config.role):
        stored += store_embeddings(scorer, role, texts, np.arange(len(texts)), shard or WHOLE)
    counts = f"{stored.computed:,} encoded, {stored.embeddings - stored.computed:,} reused"
    said = f"{stored} stored in {store.folder} ({counts})"
    left = "; run without --shard to encode what is missing"
    wide_console().print(said if shard is None else f"{shard}: {said}{left}")


def _tables(collection: Collection, role: str) -> list[tuple[Role, Texts]]:
    """What is encoded, and as what."""
    tables: list[tuple[Role, Texts]] = [("query", collection.queries), ("document", collection.corpus)]
    return tables if role == "both" else [tables[ROLES.index(role)]]
