"""Measures models on collections and benchmarks; two or more are also compared in pairs.

Example:
  st-mta evaluate --model bm25 minilm out/student --benchmark nano-beir --output-dir measures
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from st_mta.cli.show import wide_console
from st_mta.collections.benchmarks import benchmark, expand
from st_mta.evaluation.side_by_side import Results, comparison_rows, test_rows
from st_mta.options import option
from st_mta.outputs import check_output_folder
from st_mta.ranges import count_from
from st_mta.recipes.evaluate import IncompleteEvaluation, evaluate_models
from st_mta.recipes.options import INPUTS, Scoring
from st_mta.report import console_table

SEARCH = "Search"


@dataclass(frozen=True, kw_only=True)
class Config(Scoring):
    """Options of ``st-mta evaluate``."""

    model: list[str] = option(group=INPUTS, help="Models to measure: Hub ids, folders, bm25, minilm, run files.")
    output_dir: str = option(group=INPUTS, help="Folder for results.json and the run files.")
    collection: list[str] = option(
        factory=list, group=INPUTS, basic=True, help="Folders in BEIR layout, Hub ids, pydocs."
    )
    benchmark: list[str] = option(
        factory=list,
        group=INPUTS,
        basic=True,
        help="Public benchmarks, each on the split of published figures: a set of BEIR (scifact), nano-scifact, "
        "trec-dl-2019, trec-dl-2020, a folder in BEIR layout, or a group (beir, cqadupstack, nano-beir, trec-dl).",
    )
    split: str = option("test", group=INPUTS, basic=True, help="Judgements of --collection: train, dev or test.")
    data: str | None = option(None, group=INPUTS, basic=True, help="Folder of local copies (default: $ST_MTA_DATA).")
    depth: int = option(
        100,
        within=count_from(1),
        group=SEARCH,
        basic=True,
        help="Passages per query; a model that can only re-rank gets those of the first that can search.",
    )
    block_size: int | None = option(
        None,
        within=count_from(1),
        group=SEARCH,
        help="Passages encoded between two writes (default: 4096), 16 times that compared at once; less saves memory.",
    )
    backend: str = option(
        "exact", group=SEARCH, choices=("exact", "faiss"), help="Search of bi-encoders: exact (blocks) or faiss."
    )


def run(config: Config) -> None:
    """Measures every model on every collection and benchmark."""
    check_output_folder(config.output_dir)
    options = dict(vars(config))
    models, collections, benchmarks = (options.pop(name) for name in ("model", "collection", "benchmark"))
    try:
        results, tests = evaluate_models(models, collections, benchmarks=benchmarks, **options)
    except IncompleteEvaluation as incomplete:
        _show(config, incomplete.measured.results, incomplete.measured.tests)
        raise
    _show(config, results, tests)


def _show(config: Config, results: Results, tests: list[dict[str, Any]]) -> None:
    console = wide_console()
    console.print(console_table(comparison_rows(results), title=_title(config)))
    if tests:
        console.print(console_table(test_rows(tests), title="Paired tests against the first model"))


def _title(config: Config) -> str:
    """Which judgements the table is about, and where relevant does not mean grade 1."""
    known = [benchmark(name) for name in expand(config.benchmark)]
    main = config.split if config.collection else known[0].split
    others = [f"{entry.name} on {entry.split}" for entry in known if entry.split != main]
    others += [
        f"{entry.name} relevant from grade {entry.relevance_level}" for entry in known if entry.relevance_level > 1
    ]
    return "; ".join([f"Measures on the {main} split", *others])
