"""From all runs to what is published: means, spreads, paired tests, the compute ledger, the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from statistics import mean, stdev
from typing import Any

from benchmarks.assistants.arms import ARMS
from benchmarks.assistants.budgets import BASELINES
from st_mta.evaluation.significance import holm, paired_test

Runs = Mapping[str, Mapping[str, Mapping[int, dict[str, Any]]]]
"""arm -> collection -> seed -> what `run_arm` returned."""
OURS = "st_mta"


def measures(runs: Runs) -> dict[str, Any]:
    """``arms[arm][collection][seed]`` -> measures."""
    return {
        arm: {
            name: {str(seed): run["measures"][name] for seed, run in by_seed.items()}
            for name, by_seed in by_set.items()
        }
        for arm, by_set in runs.items()
    }


def comparisons(runs: Runs, ours: str = OURS) -> dict[str, Any]:
    """One arm (st_mta) against every other: pooled over the queries of all collections, and for each of them.

    A query's value is its mean nDCG@10 over the seeds. Pooled p values are also corrected by Holm.
    """
    if ours not in runs:
        return {}
    others = [arm for arm in runs if arm != ours]
    found = {}
    for arm in others:
        pairs = {name: (_by_query(runs[ours][name]), _by_query(runs[arm][name])) for name in runs[ours]}
        pooled = [
            {f"{name}/{query}": value for name, pair in pairs.items() for query, value in pair[side].items()}
            for side in (0, 1)
        ]
        by_collection = {name: asdict(paired_test(*pair)) for name, pair in pairs.items()}
        found[arm] = {
            "mean_of_collections": mean(test["difference"] for test in by_collection.values()),
            "pooled": asdict(paired_test(*pooled)),
            "collections": by_collection,
        }
    corrected = holm([found[arm]["pooled"]["p_value"] for arm in others])
    for arm, p_value in zip(others, corrected):
        found[arm]["pooled"]["p_holm"] = p_value
    return found


def _by_query(by_seed: Mapping[int, dict[str, Any]]) -> dict[str, float]:
    tables = [next(iter(run["per_query"].values())) for run in by_seed.values()]
    return {query: mean(table[query] for table in tables) for query in tables[0]}


def compute(runs: Runs) -> dict[str, Any]:
    """Mean compute of a run, and how many of its iterations' students were kept, by arm and collection."""
    return {
        arm: {
            name: {
                **{key: round(mean(run["compute"][key] for run in by_seed.values())) for key in _COUNTED},
                "kept_iteration": [run["kept"] for run in by_seed.values()],
            }
            for name, by_seed in by_set.items()
        }
        for arm, by_set in runs.items()
    }


_COUNTED = ("pairs", "steps", "sequences", "seconds")


def table_rows(result: dict[str, Any]) -> list[dict[str, str]]:
    """One row per arm: means over the seeds and their spread, and the difference of st_mta to it."""
    rows = []
    for arm, by_set in result["arms"].items():
        row = {"Arm": ARMS[arm].what}
        for name, by_seed in by_set.items():
            values = [seed["ndcg@10"] for seed in by_seed.values()]
            row[f"{name} nDCG@10"] = f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
            row[f"{name} R@100"] = f"{mean(seed['recall@100'] for seed in by_seed.values()):.3f}"
        row["st_mta minus this"], row["p (Holm)"] = "–", "–"
        if arm in result["comparisons"]:
            pooled = result["comparisons"][arm]["pooled"]
            low, high = pooled["confidence_interval"]
            row["st_mta minus this"] = f"{pooled['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            row["p (Holm)"] = f"{pooled['p_value']:.4f} ({pooled['p_holm']:.4f})"
        rows.append(row)
    return rows


def verdict(result: dict[str, Any]) -> str:
    """The comparison with the best baseline, in a sentence."""
    tested = {arm: result["comparisons"][arm] for arm in BASELINES if arm in result["comparisons"]}
    if not tested:
        return ""
    best = min(tested, key=lambda arm: tested[arm]["mean_of_collections"])
    pooled = tested[best]["pooled"]
    return (
        f"The best baseline is {best} ({ARMS[best].what}); st_mta minus it is "
        f"{tested[best]['mean_of_collections']:+.4f} nDCG@10 on average over the collections, p = "
        f"{pooled['p_value']:.4f} over {pooled['num_queries']} queries."
    )
