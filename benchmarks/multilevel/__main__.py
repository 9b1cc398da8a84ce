"""Whether word-level distillation and the false-negative filter pay, level by level, at equal compute.

    python -m benchmarks.multilevel --budget cpu|gpu [--arms ARM ...] [--collections NAME ...]
                                   [--seeds N ...] [--work-dir DIR]

Assistants, teachers and warmed-up students are those of `python -m benchmarks.assistants` where the work folder holds
them already. Resumable: every run that ended is kept there and not done again. Needs the collections ($ST_MTA_DATA).
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

from benchmarks.assistants.budgets import Budget
from benchmarks.assistants.material import Material
from benchmarks.assistants.plots import plot_arms, plot_differences
from benchmarks.assistants.runs import run_arm
from benchmarks.assistants.summary import compute, measures
from benchmarks.environment import data_folder, environment
from benchmarks.multilevel.arms import BASELINE, NAMES, arms_of
from benchmarks.multilevel.budgets import BUDGETS
from benchmarks.multilevel.summary import against_sentence_level, table_rows, verdict
from st_mta.atomic import atomic_write_text
from st_mta.report import markdown_table


def main() -> None:
    """Prepares, runs every arm with every seed, tests, writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", choices=sorted(BUDGETS), default="cpu")
    parser.add_argument("--arms", nargs="+", choices=NAMES, default=list(NAMES), help="Only these.")
    parser.add_argument("--collections", nargs="+", help="Only these; one command for each may run at the same time.")
    parser.add_argument("--seeds", nargs="+", type=int, help="Only these.")
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="For result.json, .md and plots.")
    options = parser.parse_args()
    data = data_folder()
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    start = time.perf_counter()
    budget = BUDGETS[options.budget]
    if options.seeds:
        budget = replace(budget, seeds=tuple(options.seeds))
    if options.collections:
        budget = replace(budget, collections={name: budget.collections[name] for name in options.collections})
    result = all_runs(budget, options.arms, data, options.work_dir / options.budget)
    result["budget"] = {"name": options.budget, **asdict(budget)}
    result["environment"] = environment()
    result["seconds_of_this_command"] = round(time.perf_counter() - start)
    write(result, options.output)


def all_runs(budget: Budget, arms: list[str], data: Path, work: Path) -> dict[str, Any]:
    """Every arm with every seed on every collection, or what is left to do of that."""
    runs: dict[str, dict[str, dict[int, dict[str, Any]]]] = {arm: {} for arm in arms}
    described = {}
    for name in budget.collections:
        material = Material(name, budget, data, work)
        described[name] = material.prepare()
        for seed in budget.seeds:
            made = arms_of(material)
            for arm in arms:  # arm by arm within a seed: a run that is cut short still compares all arms
                done = run_arm(material, arm, seed, budget.student_layers[0], [], arms=made)
                runs[arm].setdefault(name, {})[seed] = done
                print(f"{name} seed {seed} {arm}: {done['measures'][name]['ndcg@10']:.4f}", flush=True)
    return {
        "collections": described,
        "arms": measures(runs),
        "comparisons": against_sentence_level(runs),
        "compute": compute(runs),
    }


def write(result: dict[str, Any], folder: Path) -> None:
    """Writes ``result.json``, ``result.md`` and the plots."""
    plots = folder / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    atomic_write_text(folder / "result.json", json.dumps(result, indent=2) + "\n")
    table = markdown_table(table_rows(result))
    atomic_write_text(folder / "result.md", f"{table}\n{verdict(result)}\n")
    plot_arms(result, plots, BASELINE)
    heading = "each arm minus contrastive + sentence (right of zero: the arm is better)"
    plot_differences(result, plots / "differences.png", heading)
    print(table, verdict(result), sep="\n")


if __name__ == "__main__":
    main()
