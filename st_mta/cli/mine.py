"""Mines candidates for every query from several retrievers.

Example:
  st-mta mine --collection pydocs --retrievers bm25 minilm --output candidates.parquet
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from st_mta.cli.show import wide_console
from st_mta.collections import load_collection
from st_mta.mining import mine
from st_mta.mining.pairs import refuse_unwritable, write_pairs
from st_mta.options import option
from st_mta.recipes.options import INPUTS, OnCollection, Scoring
from st_mta.scorers import load_scorer
from st_mta.training.curriculum import training_queries


@dataclass(frozen=True, kw_only=True)
class Config(Scoring, OnCollection):
    """Options of ``st-mta mine``."""

    retrievers: list[str] = option(group=INPUTS, help="Models that search: Hub ids, folders, bm25, minilm.")
    output: str = option(group=INPUTS, help="File to write: .parquet with query_id, passage_id, positive, source.")
    split: str = option("train", group=INPUTS, basic=True, help="Whose queries: train, dev or test.")
    num_candidates: int = option(16, help="Passages per query, positives among them.")
    range_min: int = option(0, help="Passages skipped from the top of every retriever.")
    range_max: int = option(100, help="Depth to which every retriever is searched.")
    sampling_strategy: str = option("stratified", help="top, random or stratified.")
    seed: int = option(42, help="Seed of the sampling.")


def run(config: Config) -> None:
    """Mines and writes one row per candidate."""
    refuse_unwritable(Path(config.output), ".parquet")
    collection = load_collection(config.collection)
    options = config.scorer_options()
    queries = training_queries(collection) if config.split == "train" else collection.queries_of(config.split)
    candidates = mine(
        collection,
        queries,
        [load_scorer(name, options) for name in config.retrievers],
        collection.qrels.get(config.split),
        num_candidates=config.num_candidates,
        depth=config.range_max,
        range_min=config.range_min,
        sampling_strategy=config.sampling_strategy,
        seed=config.seed,
    )
    write_pairs(Path(config.output), collection, candidates)
    wide_console().print(f"{len(candidates.passages):,} candidates of {len(candidates):,} queries in {config.output}")
