"""What was tried to make assistants pay more: variations of st_mta's arm, judged on development queries alone.

    python -m benchmarks.assistants.trials [--collections NAME ...] [--variations NAME ...] [--work-dir DIR]

One seed each, at the compute of the CPU budget. Resumable; the test split is not read.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import platformdirs

from benchmarks.assistants.__main__ import quiet
from benchmarks.assistants.arms import DEFAULT, Arm
from benchmarks.assistants.budgets import BUDGETS
from benchmarks.assistants.material import Material
from benchmarks.assistants.runs import run_arm
from benchmarks.environment import data_folder, environment
from st_mta.evaluation import markdown_table
from st_mta.evaluation.significance import paired_test
from st_mta.stores.atomic import atomic_write_text

HERE = Path(__file__).parent
SEED = 4
"""None of those that are tested."""
FIRST = "default"

VARIATIONS: dict[str, dict[str, Any]] = {
    FIRST: {},
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
    "twice the list, half the queries": {},
}
LONG = "twice the list, half the queries"


def main() -> None:
    """Runs what is not there yet and writes trials.json and trials.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    budget = BUDGETS["cpu"]
    parser.add_argument("--collections", nargs="+", choices=list(budget.collections), default=list(budget.collections))
    parser.add_argument("--variations", nargs="+", choices=list(VARIATIONS), default=list(VARIATIONS))
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=HERE, help="Folder for trials.json and trials.md.")
    options = parser.parse_args()
    data = data_folder()
    if data is None:
        raise SystemExit("The test collections are needed: set ST_MTA_DATA to the folder that holds them.")
    quiet()
    trials: dict[str, dict[str, dict[str, Any]]] = {}
    for name in options.collections:
        material = Material(name, budget, data, options.work_dir / "cpu")
        material.prepare()
        trials[name] = {}
        for variation in options.variations:
            trials[name][variation] = _run(material, variation)
            print(f"{name} {variation}: {trials[name][variation]['ndcg@10']:.4f}", flush=True)
    compared = {name: _against_default(of_one) for name, of_one in trials.items()}
    result = {"seed": SEED, "split": "dev", "collections": compared, "environment": environment()}
    options.output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(options.output / "trials.json", json.dumps(result, indent=2) + "\n")
    atomic_write_text(options.output / "trials.md", markdown_table(_rows(compared)) + "\n")
    print(markdown_table(_rows(compared)))


def _run(material: Material, variation: str) -> dict[str, Any]:
    """nDCG@10 on dev of the student that was kept, and what it cost."""
    changes = dict(VARIATIONS[variation])
    if variation == LONG:
        changes["num_candidates"] = 2 * material.cut.num_candidates
        changes["queries_per_iteration"] = material.cut.queries_per_iteration // 2
        changes["per_device_train_batch_size"] = material.budget.batch_size // 2
    name = "trial-" + "-".join("".join(c if c.isalnum() or c == "." else " " for c in variation).split())
    arms = {name: Arm(variation, None, {**DEFAULT, **changes})}
    layers = material.budget.student_layers[0]
    done = run_arm(material, name, SEED, layers, [], split="dev", arms=arms)
    return {
        "ndcg@10": done["measures"][material.name]["ndcg@10"],
        "dev": done["dev"],
        "kept": done["kept"],
        "compute": done["compute"],
        "per_query": done["per_query"][material.name],
    }


def _against_default(trials: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each trial with its difference to the default, paired over the queries; without the queries' values."""
    compared = {}
    for variation, trial in trials.items():
        compared[variation] = {key: value for key, value in trial.items() if key != "per_query"}
        if FIRST in trials and variation != FIRST:
            test = paired_test(trial["per_query"], trials[FIRST]["per_query"])
            compared[variation] |= {
                "difference": test.difference,
                "confidence_interval": test.confidence_interval,
                "p_value": test.p_value,
            }
    return compared


def _rows(compared: dict[str, dict[str, dict[str, Any]]]) -> list[dict[str, str]]:
    rows: dict[str, dict[str, str]] = {}
    for name, trials in compared.items():
        for variation, trial in trials.items():
            row = rows.setdefault(variation, {"Variation": variation})
            row[f"{name} dev nDCG@10"] = f"{trial['ndcg@10']:.4f}"
            row[f"{name} difference (p)"] = (
                f"{trial['difference']:+.4f} ({trial['p_value']:.2f})" if "difference" in trial else "–"
            )
    return list(rows.values())


if __name__ == "__main__":
    main()
