"""Does `st-mta diagnose` say who teaches well? Students taught by one scorer each, beside its table.

    python -m benchmarks.assistants.taught_by [--collections NAME ...] [--seeds N ...] [--work-dir DIR]

Every student learns the same lists, mined by the student itself, from the distribution of one scorer alone (KL, no
contrast, no regression), in one iteration. Development queries only. Resumable.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import mean
from typing import Any

import platformdirs
from scipy.stats import spearmanr

from benchmarks.assistants.__main__ import quiet
from benchmarks.assistants.arms import Arm
from benchmarks.assistants.budgets import BUDGETS
from benchmarks.assistants.material import Material
from benchmarks.assistants.runs import run_arm
from benchmarks.environment import data_folder, environment
from st_mta.assistants.pool import AssistantPool
from st_mta.atomic import atomic_write_text
from st_mta.report import markdown_table

HERE = Path(__file__).parent
QUERIES = {"openbookqa": 800, "squad-sent": 500}
ARGUMENTS = {"num_iterations": 1, "regression_weight": 0.0, "contrastive_weight": 0.0, "learning_rate": 1e-4}
COLUMNS = {"kl": "KL", "footrule": "footrule", "rbo": "RBO", "top1": "same best", "ndcg": "own nDCG@10"}
DISTANCES = ("kl", "footrule")
"""Where less is closer."""


def main() -> None:
    """Trains what is not there yet and writes taught_by.json and taught_by.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    budget = BUDGETS["cpu"]
    parser.add_argument("--collections", nargs="+", choices=list(budget.collections), default=list(budget.collections))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--work-dir", type=Path, default=Path(platformdirs.user_cache_dir("st_mta-assistants")))
    parser.add_argument("--output", type=Path, default=HERE, help="Folder for taught_by.json and taught_by.md.")
    options = parser.parse_args()
    data = data_folder()
    quiet()
    found = {
        name: _one_collection(Material(name, budget, data, options.work_dir / "cpu"), options.seeds)
        for name in options.collections
    }
    result = {"collections": found, "seeds": options.seeds, "split": "dev", "environment": environment()}
    options.output.mkdir(parents=True, exist_ok=True)
    atomic_write_text(options.output / "taught_by.json", json.dumps(result, indent=2) + "\n")
    table = markdown_table([row for name, of_one in found.items() for row in _rows(name, of_one)])
    atomic_write_text(options.output / "taught_by.md", table + "\n")
    print(table)


def _one_collection(material: Material, seeds: list[int]) -> dict[str, Any]:
    """The diagnosis of every scorer beside the students it taught, and how the two rankings correlate."""
    diagnosis = material.prepare()["diagnosis"]
    scorers = {scorer.name: scorer for scorer in material.assistants}
    plain = [member for member in diagnosis["members"] if member["name"] in scorers]
    rows = [{key: member[key] for key in ("name", *COLUMNS)} for member in plain]
    for row in rows:
        row["students"] = []
        for seed in seeds:
            quality = _student(material, AssistantPool(scorers[row["name"]], []), row["name"], seed)
            row["students"].append(quality)
            print(f"{material.name} {row['name']} seed {seed}: {quality:.4f}", flush=True)
    students = [mean(row["students"]) for row in rows]
    signs = {column: -1 if column in DISTANCES else 1 for column in COLUMNS}
    return {
        "scorers": rows,
        "start": _start(material, rows[0]["name"], seeds[0]),
        "spearman": {
            column: float(spearmanr([sign * row[column] for row in rows], students).statistic)
            for column, sign in signs.items()
        },
    }


def _student(material: Material, pool: AssistantPool, name: str, seed: int) -> float:
    """nDCG@10 on dev after training, better than the start or not."""
    return float(_run(material, name, seed, pool)["dev"][-1])


def _start(material: Material, name: str, seed: int) -> float:
    return float(_run(material, name, seed)["dev"][0])


def _run(material: Material, name: str, seed: int, pool: AssistantPool | None = None) -> dict[str, Any]:
    arm = f"taught-by-{name}"
    queries = QUERIES[material.name]
    layers = material.budget.student_layers[0]
    arms = {arm: Arm(name, None, {**ARGUMENTS, "queries_per_iteration": queries})}
    return run_arm(material, arm, seed, layers, [], split="dev", arms=arms, pool=pool)


def _rows(name: str, found: dict[str, Any]) -> list[dict[str, str]]:
    rows = []
    for row in sorted(found["scorers"], key=lambda row: float(row["kl"])):
        cells = {"Collection": name, "Teacher of the student": row["name"]}
        cells |= {title: f"{row[column]:.3f}" for column, title in COLUMNS.items()}
        cells["student nDCG@10"] = f"{mean(row['students']):.4f}"
        rows.append(cells)
    correlation = {"Collection": name, "Teacher of the student": "Spearman's correlation with the students"}
    correlation |= {title: f"{found['spearman'][column]:+.2f}" for column, title in COLUMNS.items()}
    correlation["student nDCG@10"] = f"(start {found['start']:.4f})"
    return [*rows, correlation]


if __name__ == "__main__":
    main()
