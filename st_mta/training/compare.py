"""Several models on several collections: measures, run files, paired tests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_scorer, holm, paired_test, per_query, write_run
from st_mta.scorers import load_scorer
from st_mta.stores import Store
from st_mta.stores.atomic import atomic_write_text
from st_mta.training.files import file_name
from st_mta.types import Collection, Retrieved, Run, Scorer

Results = dict[str, dict[str, dict[str, float]]]
"""Model -> collection -> measure -> value."""


def evaluate_models(
    models: Sequence[Any],
    collections: Sequence[Collection | str | Path],
    *,
    split: str = "test",
    output_dir: str | Path,
    max_length: int | None = None,
    depth: int = 100,
    store: Store | str | Path | None = None,
    precision: str = "auto",
) -> tuple[Results, list[dict[str, Any]]]:
    """Measures models and writes ``results.json``, ``tests.json`` and one run file per model and collection.

    Args:
        models: What [`load_scorer`] takes.
        collections: What [`load_collection`] takes.
        split: The judged split.
        output_dir: Where files are written.
        max_length: Longest text in tokens.
        depth: Passages per query; a model that cannot search re-ranks those of the first one that can.
        store: Where scores and embeddings are kept.
        precision: "auto", "fp32" or "bf16".

    Returns:
        The measures, and the paired tests of every model against the first (nDCG@10, p values also corrected by Holm
        over all tests).

    Raises:
        InputError: If nothing is given to measure, or on what.
    """
    _refuse_nothing(models, collections)
    store = store if isinstance(store, Store) else Store(store)
    scorers = [load_scorer(model, store=store, max_length=max_length, precision=precision) for model in models]
    results: Results = {scorer.name: {} for scorer in scorers}
    tests: list[dict[str, Any]] = []
    folder = Path(output_dir)
    for collection in map(load_collection, collections):
        runs = _runs(scorers, collection, split, depth, results)
        for name, run in runs.items():
            write_run(folder / "runs" / collection.name / f"{file_name(name)}.trec", run, tag=file_name(name))
        tests += _tests(runs, collection, split)
    for test, corrected in zip(tests, holm([test["p_value"] for test in tests])):
        test["p_holm"] = corrected
    atomic_write_text(folder / "results.json", json.dumps(results, indent=2))
    atomic_write_text(folder / "tests.json", json.dumps(tests, indent=2))
    return results, tests


def _runs(scorers: list[Scorer], collection: Collection, split: str, depth: int, results: Results) -> dict[str, Run]:
    """One run per scorer; fills in the measures."""
    stage: Retrieved | None = None
    searcher = next((scorer for scorer in scorers if scorer.can_retrieve), None)
    if searcher is not None and not all(scorer.can_retrieve for scorer in scorers):
        stage = searcher.retrieve(collection.queries, collection.corpus, collection.queries_of(split), depth)
    runs = {}
    for scorer in scorers:
        runs[scorer.name], measures = evaluate_scorer(scorer, collection, split, depth=depth, first_stage=stage)
        results[scorer.name][collection.name] = measures
    return runs


def _tests(runs: dict[str, Run], collection: Collection, split: str) -> list[dict[str, Any]]:
    """Every model against the first."""
    qrels = collection.qrels[split]
    (first, baseline), *others = ((name, per_query(run, qrels, "ndcg@10")) for name, run in runs.items())
    rows = []
    for name, values in others:
        test = paired_test(values, baseline)
        rows.append(
            {
                "collection": collection.name,
                "model": name,
                "against": first,
                "difference": test.difference,
                "p_value": test.p_value,
                "interval": list(test.confidence_interval),
            }
        )
    return rows


def comparison_rows(results: Results) -> list[dict[str, str]]:
    """The results as table rows, rounded for reading."""
    return [
        {"Model": model, "Collection": collection, **{name: f"{value:.4f}" for name, value in measures.items()}}
        for model, by_collection in results.items()
        for collection, measures in by_collection.items()
    ]


def test_rows(tests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The paired tests as table rows, rounded for reading."""
    return [
        {
            "Model": test["model"],
            "Against": test["against"],
            "Collection": test["collection"],
            "Difference": f"{test['difference']:+.4f}",
            "95% interval": f"{test['interval'][0]:+.4f} to {test['interval'][1]:+.4f}",
            "p": f"{test['p_value']:.4f}",
            "p (Holm)": f"{test['p_holm']:.4f}",
        }
        for test in tests
    ]


def _refuse_nothing(models: Sequence[Any], collections: Sequence[Any]) -> None:
    for what, given in (("model", models), ("collection or benchmark", collections)):
        if not given:
            raise InputError(
                expected=f"at least one {what}",
                got="none",
                consequence="there would be nothing to measure",
                remedy="name one (--model, --collection or --benchmark)",
            )
