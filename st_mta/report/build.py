"""Gathers the report of a finished run from its journal."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from sentence_transformers import SentenceTransformer

from st_mta.collections import BENCHMARKS
from st_mta.evaluation import paired_test, per_query
from st_mta.report.evidence import comparisons_of, distributions_of
from st_mta.report.schema import Iteration, ModelEntry, Report, Significance, StoppedEarly, WarmUp
from st_mta.run.best import Standing
from st_mta.run.folder import RunFolder, file_name
from st_mta.run.journal import Journal, Result
from st_mta.scorers.origin import hub_origin, num_layers
from st_mta.trec import read_run
from st_mta.types import Collection, Scorer

PACKAGES = (
    "st-mta sentence-transformers transformers torch datasets accelerate bm25s faiss-cpu ir-measures duckdb numpy"
).split()
STATIONS = ("mine", "score", "train", "evaluate", "promote")


def build_report(
    *,
    journal: Journal,
    folder: RunFolder,
    collection: Collection,
    teacher: Scorer,
    assistants: list[Scorer],
    before: Scorer,
    student: Scorer,
    standing: Standing,
    num_iterations: int,
    settings: dict[str, Any],
) -> Report:
    """The dictionary behind ``report.json`` (see [`st_mta.report.schema`]).

    Args:
        journal: Of a finished run.
        folder: Of the run.
        collection: What was measured on.
        teacher: As it came, like the assistants.
        assistants: In pool order.
        before: The student before the run.
        student: The best student.
        standing: Where that one comes from, and how many iterations were done.
        num_iterations: How many were asked for.
        settings: "seed", "depth", "device" and "precision".
    """
    quality, test, throughput = (journal.result(station) for station in ("quality", "test", "throughput"))

    def entry(scorer: Scorer) -> ModelEntry:
        reranks = None if scorer.can_retrieve else f"top {settings['depth']} of {quality['first_stage']}"
        return ModelEntry(
            name=scorer.name,
            kind=scorer.kind,
            parameters=scorer.parameters,
            layers=_layers(scorer),
            queries_per_second=throughput.get(scorer.name),
            reranks=reranks,
            **hub_origin(getattr(scorer, "model", None)),
            **test["measures"][scorer.name],  # type: ignore[typeddict-item]
        )

    entries = {scorer.name: entry(scorer) for scorer in [teacher, *assistants, before, student]}
    iterations = [_iteration(journal, index) for index in range(standing.done)]
    reached = entries[teacher.name].get("ndcg@10")
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
        split=test["split"],
        seed=settings["seed"],
        versions={"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        device=settings["device"],
        precision=settings["precision"],
        teacher=entries[teacher.name],
        assistants=[entries[scorer.name] for scorer in assistants],
        student_before=entries[before.name],
        student=entries[student.name],
        recovered=entries[student.name]["ndcg@10"] / reached if reached else None,
        significance=_significance(collection, folder, test["split"], before.name, student.name),
        warm_up=_warm_up(journal),
        iterations=iterations,
        best_iteration=standing.iteration,
        stopped_early=_stopped_early(standing, num_iterations),
        serving=journal.result("serving")["forms"],
        development={
            ("student_before" if name == before.name else name): measures["ndcg@10"]
            for name, measures in quality["dev"].items()
        },
        compute={
            **journal.counted(),  # type: ignore[typeddict-item]
            "training_sequences": _trained(journal, "sequences", standing.done),
            "training_steps": _trained(journal, "steps", standing.done),
            "seconds": journal.seconds(),
            "total_seconds": sum(journal.seconds().values()),
        },
    )
    report["comparisons"] = comparisons_of(folder, report, collection.qrels[test["split"]])
    scorers = [journal.result(f"iteration-{index:02d}/score")["scorers"] for index in range(standing.done)]
    report["score_distributions"] = distributions_of(folder, scorers)
    return report


def _known_dataset(name: str) -> str | None:
    """The Hub's id of a benchmark that was read from a local copy."""
    return (BENCHMARKS[name].dataset or None) if name in BENCHMARKS else None


def _iteration(journal: Journal, index: int) -> Iteration:
    name = f"iteration-{index:02d}"
    mined, scored, trained, evaluated, promoted = (journal.result(f"{name}/{station}") for station in STATIONS)
    seconds = journal.seconds()
    entry = Iteration(
        iteration=index,
        queries=mined["queries"],
        hard_queries=mined["hard_queries"],
        candidates_per_query=scored["candidates_per_query"],
        loss=trained["loss"],
        selected=trained["selected"],
        selected_over_steps=trained.get("selected_over_steps"),
        dev=evaluated["dev"],
        promoted=promoted["replaced"],
        pool=promoted["pool"],
        temperatures=dict(zip(scored["scorers"], scored["temperatures"])),
        seconds={station: seconds[f"{name}/{station}"] for station in STATIONS},
    )
    if "filter_rate" in scored:
        entry["filter_rate"] = scored["filter_rate"]
    if trained.get("alpha") is not None:
        entry["alpha"] = trained["alpha"]
    return entry


def _stopped_early(standing: Standing, num_iterations: int) -> StoppedEarly | None:
    if standing.done == num_iterations:
        return None
    return {"num_iterations": num_iterations, "in_vain": standing.in_vain}


def _warm_up(journal: Journal) -> WarmUp | None:
    done: Result = journal.result("warm-up")
    if done["regressed_to"] is None:
        return None
    return {
        "regressed_to": done["regressed_to"],
        "steps": done["steps"],
        "seconds": journal.seconds()["warm-up"],
        "dev_ndcg@10": done["dev"]["ndcg@10"],
    }


def _significance(collection: Collection, folder: RunFolder, split: str, before: str, after: str) -> Significance:
    qrels = collection.qrels[split]
    systems = [read_run(folder.runs / f"{file_name(name)}.trec") for name in (after, before)]
    test = paired_test(*(per_query(run, qrels, "ndcg@10") for run in systems))
    return {
        "measure": "ndcg@10",
        "baseline": "student_before",
        "difference": test.difference,
        "p_value": test.p_value,
        "confidence_interval": list(test.confidence_interval),
        "wins": test.wins,
        "losses": test.losses,
        "ties": test.ties,
    }


def _trained(journal: Journal, what: str, num_iterations: int) -> int:
    """Steps or texts over the warm-up and all iterations."""
    stations = ["warm-up", *(f"iteration-{index:02d}/train" for index in range(num_iterations))]
    return sum(int(journal.result(station).get(what, 0)) for station in stations)


def _layers(scorer: Scorer) -> int | None:
    model = getattr(scorer, "model", None)
    return num_layers(model) if isinstance(model, SentenceTransformer) else None
