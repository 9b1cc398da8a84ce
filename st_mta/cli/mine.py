"""Mines candidates for every query from several retrievers.

Example:
  st-mta mine --collection pydocs --retrievers bm25 minilm --output candidates.parquet
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from st_mta.cli.show import wide_console
from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.mining import mine
from st_mta.mining.pairs import refuse_unwritable, write_pairs
from st_mta.options import option
from st_mta.outputs import check_output_file
from st_mta.ranges import SEED, check_ranks, count_from
from st_mta.recipes.options import INPUTS, OnCollection, Scoring
from st_mta.scorers import load_scorer
from st_mta.training.curriculum import training_queries
from st_mta.types import Collection, IntArray


@dataclass(frozen=True, kw_only=True)
class Config(Scoring, OnCollection):
    """Options of ``st-mta mine``."""

    retrievers: list[str] = option(
        group=INPUTS, help="Models that search: Hub ids, folders, bm25, minilm, anncur:RERANKER."
    )
    output: str = option(
        group=INPUTS, help="File to write: .parquet with query_id, passage_id, positive, grade and source."
    )
    split: str = option("train", group=INPUTS, basic=True, help="Whose queries: train, dev or test.")
    num_candidates: int = option(16, within=count_from(2), help="Passages per query, positives among them.")
    range_min: int = option(0, within=count_from(0), help="Passages skipped from the top of every retriever.")
    range_max: int = option(100, within=count_from(1), help="Depth to which every retriever is searched.")
    sampling_strategy: str = option(
        "stratified", choices=("top", "random", "stratified"), help="How candidates are taken from the ranks."
    )
    seed: int = option(42, within=SEED, help="Seed of the sampling.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.range_min, self.range_max)


def run(config: Config) -> None:
    """Mines and writes one row per candidate."""
    refuse_unwritable(Path(config.output), ".parquet")
    check_output_file(config.output)
    collection = load_collection(config.collection)
    queries = _queries(collection, config.split)
    options = config.scorer_options()
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


def _queries(collection: Collection, split: str) -> IntArray:
    """Those of the split; of training the unlabelled ones too."""
    if split == "train":
        queries = training_queries(collection)
    else:
        queries = collection.queries_of(split) if split in collection.qrels else collection.unlabelled[:0]
    if len(queries):
        return queries
    raise InputError(
        expected=f"queries of the split {split!r} in {collection.name}",
        got=f"none; it has judgements for {', '.join(collection.qrels) or 'no split'}",
        remedy="name another --split, or add its judgements",
    )
