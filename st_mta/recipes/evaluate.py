"""Several models on several collections: measures, run files, paired tests."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from st_mta.atomic import atomic_write_text
from st_mta.collections import Benchmark, load_collection
from st_mta.collections.benchmarks import benchmark, expand
from st_mta.collections.load import refuse_unknown
from st_mta.errors import InputError
from st_mta.evaluation import best_passages, evaluate_scorer
from st_mta.evaluation.rankings import judged_queries
from st_mta.evaluation.side_by_side import Results, compared_with_first, mean_over_sets
from st_mta.names import file_name, refuse_same_files
from st_mta.run.lock import one_at_a_time
from st_mta.scorers import EmbeddingScorer, ScorerOptions, load_scorer
from st_mta.stores import Store
from st_mta.trec import write_run
from st_mta.types import Collection, IntArray, Retrieved, Run, Scorer

logger = logging.getLogger(__name__)


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

    With several collections, ``means.json`` has the means over them, of the models that were measured on all. One
    collection is in memory at a time. Files are written after each, and a collection or a model on a collection that
    cannot be measured is left out and named in ``failed.json``; all others are measured.

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
        InputError: If nothing is given to measure, or on what; two models have one name, or a name means nothing.
        IncompleteEvaluation: At the end, if something could not be measured; it holds what could.
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
    refuse_same_files(scorer.name for scorer in scorers)
    for scorer in scorers:
        if isinstance(scorer, EmbeddingScorer):
            scorer.search_with(backend, block_size)
    measured = Measured({scorer.name: {} for scorer in scorers}, [], {})
    folder = Path(output_dir).expanduser()
    protocols = [*(_protocol(source, split) for source in collections), *map(benchmark, names)]
    for source, protocol in zip(sources, protocols):
        with measured.noting(source.name if isinstance(source, Collection) else str(source)):
            _measure(scorers, Task(load_collection(source, data=data), protocol, depth), measured, folder)
        if any(measured.results.values()):
            _write(folder, measured)
    measured.refuse_incomplete()
    return measured.results, measured.tests


class IncompleteEvaluation(InputError):
    """Something could not be measured, and everything else was.

    Attributes:
        measured: What was.
    """

    def __init__(self, measured: Measured) -> None:
        self.measured = measured
        failed = measured.failed
        super().__init__(
            expected="every model measured on every collection",
            got=f"{len(failed)} failures: " + "; ".join(f"{name}: {message}" for name, message in failed.items()),
            remedy="mend these and run the same command again; everything else was measured and is written",
        )


@dataclass
class Measured:
    """What has been measured so far.

    Attributes:
        results: Model -> collection -> measure -> value, only of what was measured.
        tests: Of every model against the first.
        failed: Collection, or collection and model -> why it was not measured.
    """

    results: Results
    tests: list[dict[str, Any]]
    failed: dict[str, str]

    @contextmanager
    def noting(self, name: str) -> Iterator[None]:
        """Notes what cannot be used inside, so that it does not end the others, and logs that there is something."""
        try:
            yield
        except InputError as error:
            self.failed[name] = str(error)
            self._last = error
            logger.warning("%s is left out; the reason is said at the end.", name)

    def refuse_incomplete(self) -> None:
        """Raises ``IncompleteEvaluation``, or the error itself where there is nothing else."""
        if len(self.failed) == 1 and not any(self.results.values()):
            raise self._last
        if self.failed:
            raise IncompleteEvaluation(self)


@dataclass(frozen=True)
class Task:
    """A collection, how it is measured, and how deep."""

    collection: Collection
    protocol: Benchmark
    depth: int


def _protocol(source: Collection | str | Path, split: str) -> Benchmark:
    """How to measure a collection that was not named as a benchmark: on the split asked for."""
    return replace(benchmark(source.name if isinstance(source, Collection) else str(source)), split=split)


def _measure(scorers: list[Scorer], task: Task, measured: Measured, folder: Path) -> None:
    """Measures every scorer on one collection and writes its run files."""
    name, split = task.collection.name, task.protocol.split
    _refuse_repeated("collection", [*_sets(measured.results), name])
    queries = judged_queries(task.collection, split)
    stage = None if all(scorer.can_retrieve for scorer in scorers) else _first_stage(scorers, task, queries)
    runs: dict[str, Run] = {}
    for scorer in scorers:
        with measured.noting(f"{scorer.name} on {name}"):
            _refuse_unsearched(scorer, stage)
            run, values = evaluate_scorer(
                scorer,
                task.collection,
                split,
                depth=task.depth,
                first_stage=stage,
                relevance_level=task.protocol.relevance_level,
            )
            _refuse_no_answer(scorer, run, task)
            file = folder / "runs" / _inside(name) / f"{file_name(scorer.name)}.trec"
            write_run(file, run, tag=file_name(scorer.name))
            runs[scorer.name], measured.results[scorer.name][name] = run, values
    if scorers[0].name in runs:
        measured.tests += _tests(runs, task)


def _sets(results: Results) -> list[str]:
    return list(dict.fromkeys(name for by_set in results.values() for name in by_set))


def _first_stage(scorers: list[Scorer], task: Task, queries: IntArray) -> Retrieved | None:
    """The passages of the first scorer that can search this collection, once for all that re-rank."""
    for scorer in scorers:
        with suppress(InputError):  # a run file of another collection; its own turn says so
            if scorer.can_retrieve:
                return best_passages(scorer, task.collection, queries, task.depth)
    return None


def _refuse_unsearched(scorer: Scorer, stage: Retrieved | None) -> None:
    """A re-ranker has nothing to re-rank where none of the models searches."""
    if stage is None and not scorer.can_retrieve:
        raise InputError(
            expected=f"passages for {scorer.name!r}, which only re-ranks",
            got="no model that searches",
            remedy="name one that does, such as bm25, among the models too (--model)",
        )


def _refuse_no_answer(scorer: Scorer, run: Run, task: Task) -> None:
    """A file of scores without any query of the split was not measured on it, which is not 0."""
    if scorer.kind == "stored" and not any(run.values()):
        raise InputError(
            expected=f"scores of judged queries of {task.collection.name}, split {task.protocol.split}",
            got=f"none for any of {len(run)} queries in {scorer.name}",
            remedy="name the collection and the split that it was made for",
        )


def _write(folder: Path, measured: Measured) -> None:
    results, sets = measured.results, _sets(measured.results)
    files: dict[str, Any] = {"results": results, "tests": measured.tests}
    if len(sets) > 1:
        complete = {model: by_set for model, by_set in results.items() if len(by_set) == len(sets)}
        files["means"] = {model: mean_over_sets(by_set) for model, by_set in complete.items()}
    if measured.failed:
        files["failed"] = measured.failed
    else:
        (folder / "failed.json").unlink(missing_ok=True)  # of an earlier try
    for name, content in files.items():
        atomic_write_text(folder / f"{name}.json", json.dumps(content, indent=2))


def _inside(name: str) -> Path:
    """A collection's name as a folder below another one, wherever "/" and ".." in it would lead."""
    path = Path(name)
    leaves = path.is_absolute() or ".." in path.parts or path == Path()
    return Path(file_name(name).strip(".") or "-") if leaves else path


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
