"""``st-mta evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.show import wide_console
from st_mta.collections.benchmarks import benchmark, expand
from st_mta.evaluation.side_by_side import comparison_rows, test_rows
from st_mta.recipes.evaluate import evaluate_models
from st_mta.report import console_table

BENCHMARK_HELP = (
    "Public benchmarks, each on the split of published figures: a set of BEIR (scifact), nano-scifact, trec-dl-2019, "
    "trec-dl-2020, a folder in BEIR layout, or a group (beir, cqadupstack, nano-beir, trec-dl)."
)

BLOCK_HELP = (
    "Passages encoded between two writes (default 4096), 16 times that compared at once; less takes less memory."
)


@dataclass
class EvaluateConfig:
    """Options of ``st-mta evaluate``."""

    model: list[str] = field(metadata={"help": "Models to measure: Hub ids, folders, bm25, minilm, run files."})
    output_dir: str = field(metadata={"help": "Folder for results.json and the run files."})
    collection: list[str] = field(default_factory=list, metadata={"help": "Folders in BEIR layout, Hub ids, pydocs."})
    benchmark: list[str] = field(default_factory=list, metadata={"help": BENCHMARK_HELP})
    split: str = field(default="test", metadata={"help": "Judgements of --collection: train, dev or test."})
    data: str | None = field(default=None, metadata={"help": "Folder of local copies (default $ST_MTA_DATA)."})
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens."})
    depth: int = field(
        default=100,
        metadata={
            "help": "Passages per query; a model that can only re-rank gets those of the first that can search."
        },
    )
    store: str | None = field(default=None, metadata={"help": "Folder of stored scores and embeddings."})
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where it is faster), fp32 or bf16."})
    block_size: int | None = field(default=None, metadata={"help": BLOCK_HELP})
    backend: str = field(default="exact", metadata={"help": "Search of bi-encoders: exact (blocks) or faiss."})


def run(arguments: list[str]) -> None:
    """Measures every model on every collection and benchmark."""
    config = parse(EvaluateConfig, arguments, "evaluate", "Measures models; two or more are also compared in pairs.")
    options = dict(vars(config))
    models, collections, benchmarks = (options.pop(name) for name in ("model", "collection", "benchmark"))
    results, tests = evaluate_models(models, collections, benchmarks=benchmarks, **options)
    console = wide_console()
    console.print(console_table(comparison_rows(results), title=_title(config)))
    if tests:
        console.print(console_table(test_rows(tests), title="Paired tests against the first model"))


def _title(config: EvaluateConfig) -> str:
    """Which judgements the table is about, and where relevant does not mean grade 1."""
    known = [benchmark(name) for name in expand(config.benchmark)]
    main = config.split if config.collection else known[0].split
    others = [f"{entry.name} on {entry.split}" for entry in known if entry.split != main]
    others += [
        f"{entry.name} relevant from grade {entry.relevance_level}" for entry in known if entry.relevance_level > 1
    ]
    return "; ".join([f"Measures on the {main} split", *others])
