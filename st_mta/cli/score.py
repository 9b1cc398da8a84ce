"""``st-mta score``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from st_mta.cli.parse import parse
from st_mta.collections import load_collection
from st_mta.mining.pairs import read_pairs, refuse_unwritable, write_scores
from st_mta.scorers import load_scorer
from st_mta.stores import Store


@dataclass
class ScoreConfig:
    """Options of ``st-mta score``."""

    collection: str = field(metadata={"help": "A folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."})
    scorer: str = field(metadata={"help": "A Hub id, a folder, bm25, or minilm."})
    pairs: str = field(
        metadata={"help": "Candidates: a .parquet of st-mta mine, or a run (.trec, .tsv, .json, also .gz)."}
    )
    output: str = field(metadata={"help": "File to write: .parquet with query_id, passage_id, score, or .trec."})
    store: str | None = field(default=None, metadata={"help": "Folder of stored scores; nothing is scored twice."})
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens."})


def run(arguments: list[str]) -> None:
    """Scores and writes one row per pair."""
    config = parse(ScoreConfig, arguments, "score", "Scores candidates with a model (raw logits) and keeps them.")
    output = Path(config.output)
    refuse_unwritable(output, ".parquet", ".trec")
    collection = load_collection(config.collection)
    store = Store(config.store)
    scorer = load_scorer(config.scorer, store=store, max_length=config.max_length)
    queries, passages = read_pairs(Path(config.pairs), collection)
    scores = scorer.score(collection.queries, collection.corpus, queries, passages)
    written = write_scores(output, collection, queries, passages, scores, tag=scorer.name)
    left_out = "" if written == len(scores) else f" of {len(scores):,}, the others unknown to the scorer or repeated"
    ledger = store.ledger
    Console(highlight=False, markup=False).print(
        f"{written:,} pairs{left_out} in {output} ({ledger.pairs_scored:,} scored, {ledger.pairs_reused:,} reused)"
    )
