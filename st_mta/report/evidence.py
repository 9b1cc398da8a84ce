"""What a report shows beyond its measures: every query, every scorer's scores, and the texts they are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.mining import load_scored
from st_mta.names import file_name
from st_mta.report.comparisons import compare_queries
from st_mta.report.schema import Comparison, IterationScores, Report
from st_mta.report.score_distributions import score_distributions
from st_mta.run.folder import RunFolder
from st_mta.trec import read_run
from st_mta.types import Collection, Qrels

BASELINES = ("student_before", "teacher")


def comparisons_of(folder: RunFolder, report: Report, qrels: Qrels) -> list[Comparison]:
    """The student against itself before distillation and against the teacher, by the run files of the folder.

    A teacher that was not measured is no baseline.
    """
    entries = {role: report[role] for role in ("student", *BASELINES)}  # type: ignore[literal-required]
    measured = {role: entry["name"] for role, entry in entries.items() if entry.get("ndcg@10") is not None}
    runs = {role: read_run(run_file(folder, name)) for role, name in measured.items()}
    student = runs.pop("student")
    return [compare_queries(student, run, qrels, role) for role, run in runs.items()]


def run_file(folder: RunFolder, name: str) -> Path:
    """Where a run keeps what the system of this name found for the queries of the report's split."""
    return folder.runs / f"{file_name(name)}.trec"


def distributions_of(folder: RunFolder, scorers: Sequence[Sequence[str]]) -> list[IterationScores]:
    """How the stored scores of the candidates lie, by the names of every iteration's scorers."""
    return score_distributions([load_scored(folder.iteration(index), names) for index, names in enumerate(scorers)])


def collection_of(
    folder: RunFolder, report: Report, source: str | Path | Collection | None = None
) -> tuple[Collection | None, str]:
    """The given collection, or the one that the run's configuration or report names.

    Returns:
        The collection and nothing, or, where the one of the run can no longer be loaded, None and a sentence why.

    Raises:
        InputError: If the given one cannot be loaded, or is not the one of the run.
    """
    if source is not None:
        return _loaded(source, report), ""
    try:
        kept = folder.root / "config.yaml"
        options = yaml.safe_load(kept.read_text(encoding="utf-8")) if kept.exists() else {}
        return _loaded(options.get("collection") or report["collection"]["name"], report), ""
    except InputError as error:
        return None, (
            "Queries and passages go by their ids, since the collection could not be loaded: "
            f"expected {error.expected}, got {error.got}. With --collection their texts are shown."
        )


def _loaded(source: str | Path | Collection, report: Report) -> Collection:
    collection, name = load_collection(source), report["collection"]["name"]
    if len(collection.corpus) == report["collection"]["passages"]:
        return collection
    raise InputError(
        expected=f"the collection of the run, {name!r} with {report['collection']['passages']:,} passages",
        got=f"{collection.name!r} with {len(collection.corpus):,}",
        consequence="the page would show other texts than the run saw",
        remedy="name the right one with --collection",
    )
