"""What was tried to make assistants pay more: variations of st_mta's arm, judged on development queries alone.

    python -m benchmarks.assistants.trials [--collections NAME ...] [--only TRIAL ...] [--work-dir DIR]

One seed each, at the compute of the CPU budget. Resumable; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.assistants.__main__ import quiet
from benchmarks.assistants.arms import DEFAULT, Arm
from benchmarks.assistants.budgets import BUDGETS, Budget
from benchmarks.assistants.material import Material
from benchmarks.assistants.runs import run_arm
from benchmarks.environment import data_folder, environment
from st_mta.atomic import atomic_write_text
from st_mta.evaluation.significance import paired_test
from st_mta.report import markdown_table

SEED = 4
"""None of those that are tested."""
VARIATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "the assistant weighs half": {"alpha": 0.5},
    "half, selection per query": {"alpha": 0.5, "select_per": "query"},
    "half, calibration zscore": {"alpha": 0.5, "calibration": "zscore"},
    "half, calibration affine": {"alpha": 0.5, "calibration": "affine"},
    "half, fusion weighted": {"alpha": 0.5, "fusion": "weighted"},
    "half, fusion rrf": {"alpha": 0.5, "fusion": "rrf"},
    "half, pairs only": {"alpha": 0.5, "combinations": "pairs"},
    "half, selection rbo": {"alpha": 0.5, "selection": "rbo"},
    "alpha 0.8": {"alpha": 0.8},
    "scale 20 for the student": {"scale": 20.0},
    "sharper targets (entropy 0.3)": {"target_entropy": 0.3},
    "softer targets (entropy 0.7)": {"target_entropy": 0.7},
    "regression weight 1": {"regression_weight": 1.0},
    "regression weight 10": {"regression_weight": 10.0},
    "contrast 1": {"contrastive_weight": 1.0},
    "learning rate 5e-5": {"learning_rate": 5e-5},
    "top of the lists": {"sampling_strategy": "top"},
}


def trials_of(material: Material) -> dict[str, Arm]:
    """The variations as arms."""
    half_as_many = {
        "num_candidates": 2 * material.cut.num_candidates,
        "queries_per_iteration": material.cut.queries_per_iteration // 2,
        "per_device_train_batch_size": material.budget.batch_size // 2,
    }
    changes = {**VARIATIONS, "twice the list, half the queries": half_as_many}
    return {name: Arm(name, None, {**DEFAULT, **change}) for name, change in changes.items()}


def run_trials(
    what: str, name: str, budget: Budget, arms_of: Callable[[Material], dict[str, Arm]], output: Path
) -> None:
    """The command line of trials: runs what is not there yet; writes ``name``.json and .md.

    Args:
        what: Its description.
        name: Of the files.
        budget: Of the collections and runs.
        arms_of: Trials by name; the one named first is what the others are compared with.
        output: Default folder of the files.
    """
    parser = argparse.ArgumentParser(description=what, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collections", nargs="+", choices=list(budget.collections), default=list(budget.collections))
    parser.add_argument("--only", nargs="+", metavar="TRIAL", help="Only these, by their names in the table.")
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=output, help=f"Folder for {name}.json and {name}.md.")
    options = parser.parse_args()
    data = data_folder()
    quiet()
    compared = {}
    for collection in options.collections:
        material = Material(collection, budget, data, options.work_dir / "cpu")
        material.prepare()
        trials = {}
        for trial, arm in arms_of(material).items():
            if not options.only or trial in options.only:
                trials[trial] = _run(material, trial, arm)
                print(f"{collection} {trial}: {trials[trial]['ndcg@10']:.4f}", flush=True)
        compared[collection] = _against_first(trials)
    result = {"seed": SEED, "split": "dev", "collections": compared, "environment": environment()}
    options.output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(options.output / f"{name}.json", json.dumps(result, indent=2) + "\n")
    table = markdown_table(_rows(compared))
    atomic_write_text(options.output / f"{name}.md", table + "\n")
    print(table)


def _run(material: Material, trial: str, arm: Arm) -> dict[str, Any]:
    """nDCG@10 on dev of the student that was kept, and what it cost."""
    name = "trial-" + "-".join("".join(c if c.isalnum() or c == "." else " " for c in trial).split())
    layers = material.budget.student_layers[0]
    done = run_arm(material, name, SEED, layers, [], split="dev", arms={name: arm})
    return {
        "ndcg@10": done["measures"][material.name]["ndcg@10"],
        "dev": done["dev"],
        "kept": done["kept"],
        "compute": done["compute"],
        "per_query": done["per_query"][material.name],
    }


def _against_first(trials: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each trial with its difference to the first, paired over the queries; without the queries' values."""
    first = next(iter(trials))
    compared = {}
    for name, trial in trials.items():
        compared[name] = {key: value for key, value in trial.items() if key != "per_query"}
        if name != first:
            test = paired_test(trial["per_query"], trials[first]["per_query"])
            compared[name] |= {
                "difference": test.difference,
                "confidence_interval": test.confidence_interval,
                "p_value": test.p_value,
            }
    return compared


def _rows(compared: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for name, trials in compared.items():
        for name_of_trial, trial in trials.items():
            row = rows.setdefault(name_of_trial, {"Variation": name_of_trial})
            row[f"{name} dev nDCG@10"] = f"{trial['ndcg@10']:.4f}"
            row[f"{name} difference (p)"] = (
                f"{trial['difference']:+.4f} ({trial['p_value']:.2f})" if "difference" in trial else "–"
            )
    return list(rows.values())


if __name__ == "__main__":
    run_trials(__doc__, "trials", BUDGETS["cpu"], trials_of, Path(__file__).parent)
