"""Scores candidates with a model (raw logits) and keeps the scores.

Example:
  st-mta score --collection pydocs --scorer minilm --pairs candidates.parquet --output scores.parquet
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from st_mta.cli.show import wide_console
from st_mta.collections import load_collection
from st_mta.mining.pairs import read_pairs, refuse_unwritable, write_scores
from st_mta.options import option
from st_mta.outputs import check_output_file
from st_mta.recipes.options import INPUTS, OnCollection, Sharded
from st_mta.scorers import load_scorer
from st_mta.scorers.shards import store_scores
from st_mta.stores import Store


@dataclass(frozen=True, kw_only=True)
class Config(Sharded, OnCollection):
    """Options of ``st-mta score``."""

    scorer: str = option(
        group=INPUTS, help="A Hub id, a folder, bm25, minilm, or a function as for distill --teacher."
    )
    pairs: str = option(group=INPUTS, help="A .parquet of st-mta mine, or a run (.trec, .tsv, .json, also .gz).")
    output: str = option(group=INPUTS, help="File to write: .parquet with query_id, passage_id, score, or .trec.")


def run(config: Config) -> None:
    """Scores and writes one row per pair; of a shard only the scores are stored."""
    output = Path(config.output)
    refuse_unwritable(output, ".parquet", ".trec")
    check_output_file(output)
    collection = load_collection(config.collection)
    store = Store(config.store)
    scorer = load_scorer(config.scorer, config.scorer_options(), store=store)
    queries, passages = read_pairs(Path(config.pairs), collection)
    if (shard := config.the_shard()) is not None:
        stored = store_scores(scorer, collection.queries, collection.corpus, queries, passages, shard)
        wide_console().print(f"{shard}: {stored} stored; run without --shard to write {output}")
        return
    scores = scorer.score(collection.queries, collection.corpus, queries, passages)
    written = write_scores(output, collection, queries, passages, scores, tag=scorer.name)
    left_out = "" if written == len(scores) else f" of {len(scores):,}, the others unknown to the scorer or repeated"
    counts = f"{store.ledger.pairs_scored:,} scored, {store.ledger.pairs_reused:,} reused"
    wide_console().print(f"{written:,} pairs{left_out} in {output} ({counts})")
