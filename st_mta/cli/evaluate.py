"""``st-mta evaluate``."""

from __future__ import annotations

from dataclasses import dataclass, field

from st_mta.cli.parse import parse
from st_mta.cli.show import wide_console
from st_mta.evaluation import console_table
from st_mta.training.compare import comparison_rows, evaluate_models, test_rows


@dataclass
class EvaluateConfig:
    """Options of ``st-mta evaluate``."""

    model: list[str] = field(metadata={"help": "Models to measure: Hub ids, folders, bm25, minilm, run files."})
    output_dir: str = field(metadata={"help": "Folder for results.json and the run files."})
    collection: list[str] = field(default_factory=list, metadata={"help": "Folders in BEIR layout, Hub ids, pydocs."})
    benchmark: list[str] = field(default_factory=list, metadata={"help": "Public benchmarks by name (scifact, ...)."})
    split: str = field(default="test", metadata={"help": "Which judgements: train, dev or test."})
    max_length: int | None = field(default=None, metadata={"help": "Longest text in tokens."})
    depth: int = field(default=100, metadata={"help": "Passages per query; models that only re-rank take the first"})
    store: str | None = field(default=None, metadata={"help": "Folder of stored scores and embeddings."})
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where it is faster), fp32 or bf16."})


def run(arguments: list[str]) -> None:
    """Measures every model on every collection."""
    config = parse(EvaluateConfig, arguments, "evaluate", "Measures models; two or more are also compared in pairs.")
    results, tests = evaluate_models(
        config.model,
        [*config.collection, *config.benchmark],
        split=config.split,
        output_dir=config.output_dir,
        max_length=config.max_length,
        depth=config.depth,
        store=config.store,
        precision=config.precision,
    )
    console = wide_console()
    console.print(console_table(comparison_rows(results), title=f"Measures on the {config.split} split"))
    if tests:
        console.print(console_table(test_rows(tests), title="Paired tests against the first model, nDCG@10"))
