"""``st-mta mine``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from st_mta.cli.parse import parse
from st_mta.collections import load_collection
from st_mta.mining import mine
from st_mta.mining.pairs import refuse_unwritable, write_pairs
from st_mta.scorers import load_scorer
from st_mta.stores import Store
from st_mta.training.curriculum import training_queries


@dataclass
class MineConfig:
    """Options of ``st-mta mine``."""

    collection: str = field(metadata={"help": "A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."})
    retrievers: list[str] = field(metadata={"help": "Models that search: Hub ids, folders, bm25, minilm."})
    output: str = field(metadata={"help": "File to write: .parquet with query_id, passage_id, positive, source."})
    split: str = field(default="train", metadata={"help": "Whose queries: train, dev or test."})
    num_candidates: int = field(default=16, metadata={"help": "Passages per query, positives among them."})
    range_min: int = field(default=0, metadata={"help": "Passages skipped from the top of every retriever."})
    range_max: int = field(default=100, metadata={"help": "Depth to which every retriever is searched."})
    sampling_strategy: str = field(default="stratified", metadata={"help": "top, random or stratified."})
    seed: int = field(default=42, metadata={"help": "Seed of the sampling."})
    store: str | None = field(default=None, metadata={"help": "Folder of stored embeddings."})


def run(arguments: list[str]) -> None:
    """Mines and writes one row per candidate."""
    config = parse(MineConfig, arguments, "mine", "Mines candidates for every query from several retrievers.")
    refuse_unwritable(Path(config.output), ".parquet")
    collection = load_collection(config.collection)
    store = Store(config.store)
    queries = training_queries(collection) if config.split == "train" else collection.queries_of(config.split)
    candidates = mine(
        collection,
        queries,
        [load_scorer(name, store=store) for name in config.retrievers],
        collection.qrels.get(config.split),
        num_candidates=config.num_candidates,
        depth=config.range_max,
        range_min=config.range_min,
        sampling_strategy=config.sampling_strategy,
        seed=config.seed,
    )
    write_pairs(Path(config.output), collection, candidates)
    Console(highlight=False, markup=False).print(
        f"{len(candidates.passages):,} candidates of {len(candidates):,} queries in {config.output}"
    )
