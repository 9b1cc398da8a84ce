"""What a report shows beyond its measures: every query, every scorer's scores, and the texts they are about."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml

from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.mining import load_candidates
from st_mta.report.comparisons import compare_queries
from st_mta.report.schema import Comparison, IterationScores, ModelEntry, Report
from st_mta.report.score_distributions import ScoredCandidates, score_distributions
from st_mta.run.folder import RunFolder, file_name
from st_mta.trec import read_run
from st_mta.types import Collection, Qrels, Run


def comparisons_of(folder: RunFolder, report: Report, qrels: Qrels) -> list[Comparison]:
    """The student against itself before distillation and against the teacher.

    Args:
        folder: Its run files are read.
        report: Names the systems.
        qrels: Judgements of the split the runs are of.
    """

    def run(system: ModelEntry) -> Run:
        return read_run(folder.runs / f"{file_name(system['name'])}.trec")

    student = run(report["student"])
    return [
        compare_queries(student, run(report["student_before"]), qrels, "student_before"),
        compare_queries(student, run(report["teacher"]), qrels, "teacher"),
    ]


def distributions_of(folder: RunFolder, scorers: Sequence[Sequence[str]]) -> list[IterationScores]:
    """How the stored scores of the candidates lie, iteration by iteration.

    Args:
        folder: Its iterations' scores are read.
        scorers: The names of every iteration's scorers, in the order of the scores.
    """
    return score_distributions(
        [
            ScoredCandidates(
                iteration=index,
                scorers=names,
                scores=np.load(folder.iteration(index) / "scores.npy", mmap_mode="r"),
                positive=load_candidates(folder.iteration(index) / "lists.parquet").positive,
            )
            for index, names in enumerate(scorers)
        ]
    )


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
        return _loaded(_name_of_collection(folder, report), report), ""
    except InputError as error:
        return None, (
            "Queries and passages go by their ids, since the collection could not be loaded: "
            f"expected {error.expected}, got {error.got}. With --collection their texts are shown."
        )


def _name_of_collection(folder: RunFolder, report: Report) -> str:
    kept = folder.root / "config.yaml"
    options = yaml.safe_load(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    return str(options.get("collection") or report["collection"]["name"])


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
