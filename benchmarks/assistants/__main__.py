"""Whether assistants pay: st_mta beside simpler ways to teach the same student, at equal compute.

    python -m benchmarks.assistants --budget cpu|gpu [--arms ARM ...] [--work-dir DIR]
    python -m benchmarks.assistants --material mpnet [--collections NAME ...] [--arms ARM ...] [--seeds SEED ...]

The second takes teachers of 110M parameters, who know much more than the student (benchmarks/assistants/mpnet).

Resumable: every run that ended is kept in the work folder and not done again. Needs the collections ($ST_MTA_DATA).
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import datasets
import platformdirs
import transformers

from benchmarks.assistants.arms import ARMS
from benchmarks.assistants.budgets import BUDGETS, Budget, Cut
from benchmarks.assistants.collections import cut_collection
from benchmarks.assistants.material import Material
from benchmarks.assistants.plots import plot_arms, plot_differences
from benchmarks.assistants.runs import run_arm
from benchmarks.assistants.strong import StrongBudget
from benchmarks.assistants.strong_arms import STRONG_ARMS
from benchmarks.assistants.strong_results import run_all, write
from benchmarks.assistants.summary import comparisons, compute, measures, table_rows, verdict
from benchmarks.assistants.teacher import recovered, references
from benchmarks.environment import data_folder, environment
from st_mta.atomic import atomic_write_text
from st_mta.report import markdown_table

HERE = Path(__file__).parent


def main() -> None:
    """Prepares, runs every arm with every seed, tests, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--material", choices=["minilm", "mpnet"], default="minilm", help="Whose weights teach.")
    parser.add_argument("--arms", nargs="+", choices=[*ARMS, *STRONG_ARMS], help="Only these.")
    parser.add_argument("--collections", nargs="+", help="Only these; one command for each may run at the same time.")
    parser.add_argument("--seeds", nargs="+", type=int, help="Only these.")
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=HERE, help="Folder for result.json, result.md and plots.")
    options = parser.parse_args()
    data = data_folder()
    quiet()
    start = time.perf_counter()
    if options.material == "mpnet":
        _strong(options, data)
        return
    budget = BUDGETS[options.budget]
    if options.seeds:
        budget = replace(budget, seeds=tuple(options.seeds))
    if options.collections:
        budget = replace(budget, collections={name: budget.collections[name] for name in options.collections})
    arms = options.arms or list(budget.arms)
    work = options.work_dir / options.budget
    for place, layers in enumerate(budget.student_layers):
        result = _all_runs(budget, arms, layers, data, work)
        result["budget"] = {"name": options.budget, **asdict(budget)}
        result["environment"] = environment()
        result["seconds_of_this_command"] = round(time.perf_counter() - start)
        suffix = "" if place == 0 else f"-{len(layers)}-layers"
        _write(result, options.output, suffix)


def _strong(options: argparse.Namespace, data: Path) -> None:
    """The same question with much stronger teachers."""
    budget = StrongBudget()
    result = run_all(
        options.collections or list(budget.collections),
        options.arms or list(STRONG_ARMS),
        tuple(options.seeds or budget.seeds),
        data,
        options.work_dir / "mpnet",
    )
    write(result, options.output / "mpnet")


def _all_runs(budget: Budget, arms: list[str], layers: tuple[int, ...], data: Path, work: Path) -> dict[str, Any]:
    runs: dict[str, dict[str, dict[int, dict[str, Any]]]] = {arm: {} for arm in arms}
    described = {}
    zero_shot = [cut_collection(data, name, Cut()) for name in budget.zero_shot]
    for place, name in enumerate(budget.collections):
        material = Material(name, budget, data, work)
        described[name] = material.prepare()
        for seed in budget.seeds:
            for arm in arms:  # arm by arm within a seed: a run that is cut short still compares all arms
                also = zero_shot if place == 0 else []
                done = run_arm(material, arm, seed, layers, also)
                runs[arm].setdefault(name, {})[seed] = done
                print(f"{name} seed {seed} {arm}: {done['measures'][name]['ndcg@10']:.4f}", flush=True)
        described[name] |= references(material, layers)
        if "st_mta" in runs:
            described[name]["recovered"] = recovered(material, runs["st_mta"][name])
    return {
        "collections": described,
        "arms": measures(runs),
        "comparisons": comparisons(runs),
        "compute": compute(runs),
        "zero_shot": _zero_shot(runs, budget),
    }


def _zero_shot(runs: dict[str, Any], budget: Budget) -> dict[str, Any]:
    first = next(iter(budget.collections))
    return {
        arm: {name: {str(s): run["measures"][name] for s, run in by_set[first].items()} for name in budget.zero_shot}
        for arm, by_set in runs.items()
    }


def _write(result: dict[str, Any], folder: Path, suffix: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / f"result{suffix}.json", json.dumps(result, indent=2) + "\n")
    table = markdown_table(table_rows(result))
    atomic_write_text(folder / f"result{suffix}.md", f"{table}\n\n{verdict(result)}\n")
    plots = folder / f"plots{suffix}"
    plots.mkdir(exist_ok=True)
    plot_arms(result, plots)
    plot_differences(result, plots / "differences.png")
    print(table, verdict(result), sep="\n\n")


def quiet() -> None:
    """Warnings alone: the runs print a line each."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()


if __name__ == "__main__":
    main()
