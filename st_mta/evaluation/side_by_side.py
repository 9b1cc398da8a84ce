"""Several models beside each other: means over sets, paired tests against the first, and both as table rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from st_mta.collections.benchmarks import benchmark
from st_mta.evaluation.measures import per_query
from st_mta.evaluation.significance import holm, paired_test
from st_mta.types import Qrels, Run

Results = dict[str, dict[str, dict[str, float]]]  # model -> collection -> measure -> value


def mean_over_sets(by_set: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Unweighted means of each measure; the sets of one family (BEIR's twelve cqadupstack forums) count as one.

    ``by_set`` holds collection -> measure -> value, with the same measures everywhere.
    """
    families: dict[str, list[Mapping[str, float]]] = {}
    for name, values in by_set.items():
        families.setdefault(benchmark(name).family or name, []).append(values)
    return _mean([_mean(members) for members in families.values()])


def _mean(rows: list[Any]) -> dict[str, float]:
    return {measure: sum(row[measure] for row in rows) / len(rows) for measure in rows[0]}


def compared_with_first(
    runs: Mapping[str, Run], qrels: Qrels, measure: str = "ndcg@10", relevance_level: int = 1
) -> list[dict[str, Any]]:
    """Paired tests of every model against the first on one collection, p values corrected by Holm over them.

    Args:
        runs: Model -> its run; the first is the one to beat.
        qrels: The judgements of the split.
        measure: A name from ``MEASURES``.
        relevance_level: Lowest grade that counts as relevant for measures without grades.
    """
    values = {name: per_query(run, qrels, measure, relevance_level=relevance_level) for name, run in runs.items()}
    first, *others = values
    tests = {name: paired_test(values[name], values[first]) for name in others}
    corrected = holm([test.p_value for test in tests.values()])
    return [
        {
            "model": name,
            "against": first,
            "measure": measure,
            "difference": test.difference,
            "p_value": test.p_value,
            "p_holm": p_holm,
            "interval": list(test.confidence_interval),
            **{outcome: getattr(test, outcome) for outcome in ("wins", "losses", "ties")},
        }
        for (name, test), p_holm in zip(tests.items(), corrected)
    ]


def comparison_rows(results: Results) -> list[dict[str, str]]:
    """The measures as table rows, the models of a collection one below the other, the means over several last.

    What was not measured is "n/a", and so is the mean of a model that was not measured on every collection.
    """
    collections = list(dict.fromkeys(name for by_set in results.values() for name in by_set))
    measures = next((list(values) for by_set in results.values() for values in by_set.values()), [])
    rows = [_row(name, model, measures, by_set.get(name)) for name in collections for model, by_set in results.items()]
    if len(collections) > 1:
        for model, by_set in results.items():
            mean = mean_over_sets(by_set) if len(by_set) == len(collections) else None
            rows.append(_row(f"mean of {len(collections)}", model, measures, mean))
    return rows


def _row(collection: str, model: str, measures: list[str], values: Mapping[str, float] | None) -> dict[str, str]:
    shown = {name: "n/a" if values is None else f"{values[name]:.4f}" for name in measures}
    return {"Collection": collection, "Model": model, **shown}


def test_rows(tests: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The paired tests as table rows, rounded for reading."""
    return [
        {
            "Collection": test["collection"],
            "Model": test["model"],
            "Against": test["against"],
            "Measure": test["measure"],
            "Difference": f"{test['difference']:+.4f}",
            "95% interval": f"{test['interval'][0]:+.4f} to {test['interval'][1]:+.4f}",
            "Wins / losses": f"{test['wins']} / {test['losses']}",
            "p": f"{test['p_value']:.4f}",
            "p (Holm)": f"{test['p_holm']:.4f}",
        }
        for test in tests
    ]
