"""Gathers the report of a finished run from its journal."""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from st_mta.collections.benchmarks import benchmark
from st_mta.evaluation import paired_test, per_query
from st_mta.report.evidence import comparisons_of, distributions_of, run_file
from st_mta.report.schema import Iteration, ModelEntry, RegressedTo, Report, Significance, StoppedEarly, WarmUp
from st_mta.run.best import BestSoFar
from st_mta.run.folder import RunFolder
from st_mta.run.journal import Journal
from st_mta.run.results import (
    Evaluated,
    Mined,
    Promoted,
    Quality,
    RegressionTarget,
    Scored,
    Served,
    Taught,
    Tested,
    Trained,
    WarmedUp,
)
from st_mta.scorers.origin import hub_origin
from st_mta.trec import read_run
from st_mta.types import Collection, Scorer

PACKAGES = (
    "st-mta sentence-transformers transformers torch datasets accelerate bm25s faiss-cpu ir-measures duckdb numpy"
).split()
STAGES = ("mine", "teach", "score", "train", "evaluate", "promote")
"""In their order; the second only where the teacher learns."""


def build_report(
    *,
    journal: Journal,
    folder: RunFolder,
    collection: Collection,
    scorers: Sequence[Scorer],
    before: Scorer,
    student: Scorer,
    best: BestSoFar,
    num_iterations: int,
    settings: dict[str, Any],
) -> Report:
    """The dictionary behind ``report.json`` (see [`st_mta.report.schema`]).

    Args:
        journal: Of a finished run.
        folder: Of the run.
        collection: What was measured on.
        scorers: Teacher and assistants as they came, in pool order.
        before: The student before the run.
        student: The best student.
        best: Where that one comes from, and how many iterations were done.
        num_iterations: How many were asked for.
        settings: "seed", "depth", "device" and "precision"; "recipe" where the options come from one.
    """
    quality, tested = journal.result("quality", Quality), journal.result("test", Tested)
    throughput: dict[str, float | None] = journal.result("throughput", dict)
    warmed, seconds = journal.result("warm-up", WarmedUp), journal.seconds()
    trainings = [warmed, *(journal.result(f"iteration-{index:02d}/train", Trained) for index in range(best.done))]
    scored = [journal.result(f"iteration-{index:02d}/score", Scored).scorers for index in range(best.done)]

    def entry(scorer: Scorer) -> ModelEntry:
        measured: Any = tested.measures[scorer.name]
        return ModelEntry(
            name=scorer.name,
            kind=scorer.kind,
            parameters=scorer.parameters,
            layers=scorer.layers,
            queries_per_second=throughput.get(scorer.name),
            reranks=None if scorer.can_retrieve else f"top {settings['depth']} of {quality.first_stage}",
            **hub_origin(getattr(scorer, "model", None)),
            **measured,  # type: ignore[typeddict-item]
        )

    teacher, *assistants, student_before, trained = map(entry, [*scorers, before, student])
    reached = teacher.get("ndcg@10")
    report = Report(
        collection={
            "name": collection.name,
            "passages": len(collection.corpus),
            "queries": {split: len(qrels) for split, qrels in collection.qrels.items()},
            "notes": list(collection.notes),
            "fingerprint": collection.fingerprint,
            "licence": collection.licence,
            "hub_id": collection.hub_id or _known_dataset(collection.name),
        },
        split=tested.split,
        seed=settings["seed"],
        versions=installed_versions(),
        device=settings["device"],
        precision=settings["precision"],
        teacher=teacher,
        assistants=assistants,
        student_before=student_before,
        student=trained,
        recovered=trained["ndcg@10"] / reached if reached else None,
        significance=_significance(collection, folder, tested.split, before.name, student.name),
        warm_up=_warm_up(warmed, journal),
        iterations=[_iteration(journal, index) for index in range(best.done)],
        best_iteration=best.iteration,
        stopped_early=None
        if best.done == num_iterations
        else StoppedEarly(num_iterations=num_iterations, in_vain=best.in_vain),
        serving=journal.result("serving", Served).forms,
        development={
            ("student_before" if name == before.name else name): measures["ndcg@10"]
            for name, measures in quality.dev.items()
            if measures
        },
        compute={
            **journal.counted(),  # type: ignore[typeddict-item]
            "training_sequences": sum(training.sequences for training in trainings),
            "training_steps": sum(training.steps for training in trainings),
            "seconds": seconds,
            "total_seconds": sum(seconds.values()),
        },
        kept=best.kept,
        loss=None if best.kept == "student-before" else trainings[best.iteration + 1].trained_with,
        score_distributions=distributions_of(folder, scored),
    )
    if settings.get("recipe"):
        report["recipe"] = settings["recipe"]
    if warmed.skipped is not None:
        report["warm_up_skipped"] = warmed.skipped
    if (regression := _regression(journal)) is not None:
        report["regression"] = regression
    report["comparisons"] = comparisons_of(folder, report, collection.qrels[tested.split])
    return report


def installed_versions() -> dict[str, str]:
    """Of Python and of those ``PACKAGES`` that are installed under these names, or at least imported."""
    found = {name: _version(name) for name in PACKAGES}
    return {"python": platform.python_version()} | {name: known for name, known in found.items() if known}


def _version(name: str) -> str | None:
    """As the package's metadata says; a source tree has none, there the imported module says it itself."""
    with suppress(PackageNotFoundError):
        return version(name)
    module: Any = sys.modules.get(name.replace("-", "_"))
    return str(module.__version__) if hasattr(module, "__version__") else None


def _known_dataset(name: str) -> str | None:
    """The Hub's id of a benchmark that was read from a local copy."""
    return benchmark(name).dataset or None


def _iteration(journal: Journal, index: int) -> Iteration:
    name = f"iteration-{index:02d}"
    scored, trained = journal.result(f"{name}/score", Scored), journal.result(f"{name}/train", Trained)
    mined, promoted = journal.result(f"{name}/mine", Mined), journal.result(f"{name}/promote", Promoted)
    seconds = journal.seconds()
    entry = Iteration(
        iteration=index,
        queries=mined.queries,
        hard_queries=mined.hard_queries,
        candidates_per_query=scored.candidates_per_query,
        loss=trained.loss,
        selected=trained.selected,
        selected_over_steps=trained.selected_over_steps,
        dev=journal.result(f"{name}/evaluate", Evaluated).dev,
        promoted=promoted.replaced,
        pool=promoted.pool,
        temperatures=dict(zip(scored.scorers, scored.temperatures)),
        seconds={stage: seconds[f"{name}/{stage}"] for stage in STAGES if f"{name}/{stage}" in seconds},
    )
    known = {
        "filter_rate": scored.filter_rate,
        "relabelled_queries": scored.relabelled_queries,
        "alpha": trained.alpha,
    }
    entry.update({key: value for key, value in known.items() if value is not None})  # type: ignore[typeddict-item]
    if f"{name}/teach" in journal:
        taught = journal.result(f"{name}/teach", Taught)
        entry["teacher"] = {
            "name": taught.teacher,
            "kept": taught.kept,
            "steps": taught.steps,
            "dev_ndcg@10": taught.dev["ndcg@10"],
        }
    return entry


def _warm_up(done: WarmedUp, journal: Journal) -> WarmUp | None:
    if done.regressed_to is None or done.dev is None:
        return None
    return {
        "regressed_to": done.regressed_to,
        "steps": done.steps,
        "seconds": journal.seconds()["warm-up"],
        "dev_ndcg@10": done.dev["ndcg@10"],
    }


def _regression(journal: Journal) -> RegressedTo | None:
    """None where nothing was regressed to, and in older runs."""
    if "regression-target" not in journal:
        return None
    found = journal.result("regression-target", RegressionTarget)
    if not found.bi_encoders:
        return None
    return {
        "bi_encoders": found.bi_encoders,
        "weights": found.weights,
        "map": found.kind,
        "aligned_to": found.aligned_to,
        "explained": found.explained,
    }


def _significance(collection: Collection, folder: RunFolder, split: str, before: str, after: str) -> Significance:
    runs = [read_run(run_file(folder, name)) for name in (after, before)]
    test = paired_test(*(per_query(run, collection.qrels[split], "ndcg@10") for run in runs))
    return {
        "measure": "ndcg@10",
        "baseline": "student_before",
        "confidence_interval": list(test.confidence_interval),
        **{name: getattr(test, name) for name in ("difference", "p_value", "wins", "losses", "ties")},  # type: ignore[typeddict-item]
    }
