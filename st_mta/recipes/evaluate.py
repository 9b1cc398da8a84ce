"""Several models on several collections: measures, run files, paired tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text
from st_mta.collections import Benchmark, load_collection
from st_mta.collections.benchmarks import benchmark, expand
from st_mta.collections.load import refuse_unknown
from st_mta.errors import InputError
from st_mta.evaluation import best_passages, evaluate_scorer
from st_mta.evaluation.side_by_side import Results, compared_with_first, mean_over_sets
from st_mta.run.folder import file_name
from st_mta.run.lock import one_at_a_time
from st_mta.scorers import EmbeddingScorer, ScorerOptions, load_scorer
from st_mta.stores import Store
from st_mta.trec import write_run
from st_mta.types import Collection, Retrieved, Run, Scorer


@one_at_a_time
def evaluate_models(
    models: Sequence[Any],
    collections: Sequence[Collection | str | Path] = (),
    *,
    benchmarks: Sequence[str] = (),
    split: str = "test",
    output_dir: str | Path,
    data: str | Path | None = None,
    max_length: int | None = None,
    depth: int = 100,
    store: Store | str | Path | None = None,
    precision: str = "auto",
    block_size: int | None = None,
    backend: str = "exact",
) -> tuple[Results, list[dict[str, Any]]]:
    """Measures models and writes ``results.json``, ``tests.json`` and one run file per model and collection.

    With several collections, ``means.json`` has the means over them. One collection is in memory at a time.

    Args:
        models: What [`load_scorer`] takes.
        collections: What [`load_collection`] takes, measured on ``split``.
        benchmarks: Benchmarks and groups of them, measured on the split and by the relevance level of published
            figures; also folders in the layout of BEIR, measured on test.
        split: The judged split of ``collections``.
        output_dir: Where files are written.
        data: The folder of local copies; ``$ST_MTA_DATA`` by default.
        max_length: Longest text in tokens.
        depth: Passages per query; a model that cannot search re-ranks those of the first one that can.
        store: Where scores and embeddings are kept.
        precision: "auto", "fp32" or "bf16".
        block_size: Passages that bi-encoders encode between two writes, a sixteenth of those they compare at once:
            less takes less memory.
        backend: How bi-encoders search: "exact" (blocks) or "faiss" (a flat index, in memory or on the GPU).

    Returns:
        The measures, and the paired tests of every model against the first: on nDCG@10 or the measure a benchmark is
        published in, p values also corrected by Holm over the models of a collection.

    Raises:
        InputError: If nothing is given to measure, or on what; or two models or two collections have one name.
    """
    names = expand(benchmarks)
    sources = [*collections, *names]
    for what, given in (("model", models), ("collection or benchmark", sources)):
        if not given:
            raise InputError(
                expected=f"at least one {what}", got="none", remedy="name one (--model, --collection or --benchmark)"
            )
    refuse_unknown(sources, data)
    store = Store.at(store)
    options = ScorerOptions(store, precision, max_length=max_length)
    scorers = [load_scorer(model, options) for model in models]
    _refuse_repeated("model", [scorer.name for scorer in scorers])
    for scorer in scorers:
        if isinstance(scorer, EmbeddingScorer):
            scorer.search_with(backend, block_size)
    results: Results = {scorer.name: {} for scorer in scorers}
    tests: list[dict[str, Any]] = []
    folder = Path(output_dir)
    protocols = [*(_protocol(source, split) for source in collections), *map(benchmark, names)]
    for source, protocol in zip(sources, protocols):
        task = Task(load_collection(source, data=data), protocol, depth)
        _refuse_repeated("collection", [*results[scorers[0].name], task.collection.name])
        runs = _runs(scorers, task, results)
        for name, run in runs.items():
            write_run(folder / "runs" / task.collection.name / f"{file_name(name)}.trec", run, tag=file_name(name))
        tests += _tests(runs, task)
        _write(folder, results, tests)  # after each, so that a set that cannot be read costs nothing measured before
    return results, tests


@dataclass(frozen=True)
class Task:
    """A collection, how it is measured, and how deep."""

    collection: Collection
    protocol: Benchmark
    depth: int


def _protocol(source: Collection | str | Path, split: str) -> Benchmark:
    """How to measure a collection that was not named as a benchmark: on the split asked for."""
    return replace(benchmark(source.name if isinstance(source, Collection) else str(source)), split=split)


def _runs(scorers: list[Scorer], task: Task, results: Results) -> dict[str, Run]:
    """One run per scorer; fills in the measures."""
    collection, split = task.collection, task.protocol.split
    stage: Retrieved | None = None
    searcher = next((scorer for scorer in scorers if scorer.can_retrieve), None)
    if searcher is not None and not all(scorer.can_retrieve for scorer in scorers):
        stage = best_passages(searcher, collection, collection.queries_of(split), task.depth)  # once for all of them
    runs = {}
    for scorer in scorers:
        level = task.protocol.relevance_level
        runs[scorer.name], results[scorer.name][collection.name] = evaluate_scorer(
            scorer, collection, split, depth=task.depth, first_stage=stage, relevance_level=level
        )
    return runs


def _write(folder: Path, results: Results, tests: list[dict[str, Any]]) -> None:
    files: dict[str, Any] = {"results": results, "tests": tests}
    if any(len(by_set) > 1 for by_set in results.values()):
        files["means"] = {model: mean_over_sets(by_set) for model, by_set in results.items()}
    for name, content in files.items():
        atomic_write_text(folder / f"{name}.json", json.dumps(content, indent=2))


def _tests(runs: dict[str, Run], task: Task) -> list[dict[str, Any]]:
    """Every model against the first."""
    qrels, protocol = task.collection.qrels[task.protocol.split], task.protocol
    tests = compared_with_first(runs, qrels, protocol.measure, protocol.relevance_level)
    return [{"collection": task.collection.name, **test} for test in tests]


def _refuse_repeated(what: str, names: list[str]) -> None:
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InputError(
            expected=f"every {what} under a name of its own",
            got=f"{repeated!r} twice",
            consequence="one would overwrite the other's run files and measures",
            remedy="name it once, or make a copy in a folder of another name",
        )
