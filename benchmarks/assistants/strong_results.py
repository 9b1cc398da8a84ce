"""Runs the arms on the strong material, compares them and writes tables and plots."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from benchmarks.assistants.plots import plot_arms, plot_differences
from benchmarks.assistants.strong import StrongBudget, StrongMaterial
from benchmarks.assistants.strong_arms import REFERENCE, STRONG_ARMS, run_strong_arm
from benchmarks.assistants.summary import comparisons, compute, measures
from benchmarks.environment import environment
from st_mta.atomic import atomic_write_text
from st_mta.report import markdown_table

STOCK = [name for name, arm in STRONG_ARMS.items() if arm.stock]
UNTRAINED, TEACHER = "untrained", "teacher"


def run_all(names: list[str], arms: list[str], seeds: tuple[int, ...], data: Path, work: Path) -> dict[str, Any]:
    """Every arm with every seed, seed by seed, so that a command that is cut short still compares all arms."""
    budget, start = StrongBudget(seeds=seeds), time.perf_counter()
    runs: dict[str, dict[str, dict[int, dict[str, Any]]]] = {arm: {} for arm in arms}
    described = {}
    for name in names:
        material = StrongMaterial(name, budget, data, work)
        described[name] = material.prepare()
        for seed in seeds:
            for arm in arms:
                done = run_strong_arm(material, arm, seed)
                runs[arm].setdefault(name, {})[seed] = done
                print(f"{name} seed {seed} {arm}: {done['measures'][name]['ndcg@10']:.4f}", flush=True)
    return {
        "collections": described,
        "arms": measures(runs),
        "what": {arm: STRONG_ARMS[arm].what for arm in arms},
        "comparisons": {arm: comparisons(runs, arm) for arm in (REFERENCE, "several_alone") if arm in runs},
        "in_the_teachers_index": {
            arm: {
                name: mean(run["in_the_teachers_index"] for run in by_seed.values()) for name, by_seed in sets.items()
            }
            for arm, sets in runs.items()
            if not STRONG_ARMS[arm].stock
        },
        "recovered": _recovered(runs, described),
        "dev": {
            arm: {name: {s: run["dev"] for s, run in by.items()} for name, by in runs[arm].items()} for arm in arms
        },
        "compute": compute(runs),
        "budget": asdict(budget),
        "environment": environment(),
        "seconds_of_this_command": round(time.perf_counter() - start),
    }


def _recovered(runs: dict[str, Any], described: dict[str, Any]) -> dict[str, Any]:
    """Each arm's nDCG@10 over that of the teacher on test, which re-ranks its own bi-encoder's first hundred."""
    return {
        arm: {
            name: mean(run["measures"][name]["ndcg@10"] for run in by_seed.values()) / described[name]["test"][TEACHER]
            for name, by_seed in by_set.items()
        }
        for arm, by_set in runs.items()
    }


def write(result: dict[str, Any], folder: Path) -> None:
    """``result.json``, ``result.md`` and plots."""
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
    text = f"{markdown_table(_scorers(result))}\n\n{markdown_table(_rows(result))}\n\n{_verdict(result)}\n"
    atomic_write_text(folder / "result.md", text)
    plots = folder / "plots"
    plots.mkdir(exist_ok=True)
    plot_arms(result, plots, REFERENCE)
    tested = {**result, "comparisons": result["comparisons"].get(REFERENCE, {})}
    plot_differences(tested, plots / "differences.png", f"{REFERENCE} minus each arm (right of zero: it is better)")
    print(text)


def _scorers(result: dict[str, Any]) -> list[dict[str, str]]:
    """What the scorers themselves reach on test (dev in brackets)."""
    names = list(next(iter(result["collections"].values()))["test"])
    return [
        {
            "Scorer": scorer,
            **{
                f"{name} nDCG@10": f"{made['test'][scorer]:.3f} ({made['dev'][scorer]:.3f})"
                for name, made in result["collections"].items()
            },
        }
        for scorer in names
    ]


def _rows(result: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for arm, by_set in result["arms"].items():
        row = {"Arm": result["what"][arm]}
        for name, by_seed in by_set.items():
            values = [seed["ndcg@10"] for seed in by_seed.values()]
            row[f"{name} nDCG@10"] = f"{mean(values):.3f}" + (f" ± {stdev(values):.3f}" if len(values) > 1 else "")
            row[f"{name} of the teacher"] = f"{result['recovered'][arm][name]:.1%}"
            served = result["in_the_teachers_index"].get(arm, {}).get(name)
            row[f"{name}, teacher's index"] = "–" if served is None else f"{served:.3f}"
        row["several minus this"], row["p (Holm)"] = "–", "–"
        if arm in result["comparisons"].get(REFERENCE, {}):
            pooled = result["comparisons"][REFERENCE][arm]["pooled"]
            low, high = pooled["confidence_interval"]
            row["several minus this"] = f"{pooled['difference']:+.4f} ({low:+.4f} to {high:+.4f})"
            row["p (Holm)"] = f"{pooled['p_value']:.4f} ({pooled['p_holm']:.4f})"
        row["Texts"] = ", ".join(f"{one['sequences']:,}" for one in result["compute"][arm].values())
        rows.append(row)
    return rows


def _verdict(result: dict[str, Any]) -> str:
    """The comparison with the best stock arm, and several bi-encoders with the best one, in two sentences."""
    tested, sentences = result["comparisons"].get(REFERENCE, {}), []
    stock = [arm for arm in STOCK if arm in tested]
    if stock:
        best = min(stock, key=lambda arm: tested[arm]["mean_of_collections"])
        sentences.append(_against(REFERENCE, best, tested[best]))
    alone = result["comparisons"].get("several_alone", {})
    if "one_alone" in alone:
        sentences.append(_against("several_alone", "one_alone", alone["one_alone"]))
    return " ".join(sentences)


def _against(ours: str, other: str, tested: dict[str, Any]) -> str:
    pooled = tested["pooled"]
    return (
        f"{ours} minus {other} is {tested['mean_of_collections']:+.4f} nDCG@10 on average over the collections, p = "
        f"{pooled['p_value']:.4f} (Holm {pooled['p_holm']:.4f}) over {pooled['num_queries']} queries."
    )
