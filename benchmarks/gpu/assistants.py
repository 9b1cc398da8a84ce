"""benchmarks/assistants at a size that fits what is left of the time: arm by arm and seed by seed until it is over.

All arms start from the same student, with the same lists. What a run was measured at is written when it ends, so that
a time-out loses one run.
"""

from __future__ import annotations

import time
from functools import cached_property
from itertools import product
from typing import Any
from unittest.mock import patch

from benchmarks.assistants import material as shared
from benchmarks.assistants.budgets import Budget, Cut
from benchmarks.assistants.runs import run_arm
from benchmarks.assistants.summary import comparisons, table_rows
from benchmarks.environment import data_folder
from benchmarks.gpu.bench import Bench
from st_mta.types import Scorer

ARMS = ("st_mta", "embed", "kl", "mnrl", "with_assistants", "uniform_mean")
SEEDS = (1, 2, 3, 4, 5)
MARGIN = 1.3
"""Times the longest run that have to be left for another one."""


def run(bench: Bench) -> None:
    """Makes assistants, teacher and student, then runs the arms."""
    budget = TOY if bench.dry else SHORT
    data = bench.work / "material" if bench.dry else data_folder()
    bench.models  # noqa: B018  (made before anything is timed)
    base = bench.models.speed.retriever
    with patch.object(shared, "BASE", base), patch.object(shared, "DEVICE", bench.device.type):
        name = next(iter(budget.collections))
        material = (ToyMaterial if bench.dry else shared.Material)(name, budget, data, bench.folder)
        began = time.perf_counter()
        bench.note("prepared", material.prepare())
        bench.note("seconds to prepare", round(time.perf_counter() - began, 1))
        _arms(bench, material, budget)


class ToyMaterial(shared.Material):
    """Of a toy collection, where BM25 is better than any model: the cross-encoder is the teacher all the same."""

    @cached_property
    def teacher(self) -> Scorer:
        """The toys' own cross-encoder."""
        return self.scorer(str(self.data / "teacher"), "teacher")


def _arms(bench: Bench, material: shared.Material, budget: Budget) -> None:
    name, layers, longest = material.name, budget.student_layers[0], 0.0
    runs: dict[str, dict[str, dict[int, dict[str, Any]]]] = {arm: {name: {}} for arm in budget.arms}
    for seed, arm in product(budget.seeds, budget.arms):
        if bench.left < MARGIN * longest:
            bench.note("stopped before", f"{arm}, seed {seed}")
            break
        began = time.perf_counter()
        done = runs[arm][name][seed] = run_arm(material, arm, seed, layers, [])
        longest = max(longest, time.perf_counter() - began)
        measured = done["measures"][name]
        bench.row(
            "runs",
            arm=arm,
            seed=seed,
            ndcg=round(measured["ndcg@10"], 4),
            recall=round(measured["recall@100"], 4),
            steps=done["compute"]["steps"],
            seconds=done["compute"]["seconds"],
        )
    whole = {arm: {name: dict(list(runs[arm][name].items())[: _common(runs, name)])} for arm in budget.arms}
    if _common(runs, name):
        arms = {
            arm: {name: {str(seed): one["measures"][name] for seed, one in by[name].items()}}
            for arm, by in whole.items()
        }
        bench.note("arms", table_rows({"arms": arms, "comparisons": comparisons(whole)}))


def _common(runs: dict[str, dict[str, dict[int, dict[str, Any]]]], name: str) -> int:
    """Seeds that every arm has."""
    return min(len(by_set[name]) for by_set in runs.values())


TUNING = {"epochs": 1.0, "batch_size": 64, "learning_rate": 5e-5, "num_negatives": 2}

SHORT = Budget(
    collections={"openbookqa": Cut(2000, 300, 500, None, 1000, 8, None, 1000)},
    zero_shot=(),
    seeds=SEEDS,
    student_layers=((0, 2, 5),),
    arms=ARMS,
    batch_size=32,
    tuning=TUNING,
    teacher_tuning={"epochs": 2.0},
    cross_encoder_tuning={"batch_size": 32, "learning_rate": 1e-4, "num_negatives": 3},
)

TOY = Budget(
    collections={"collection": Cut(24, 6, 10, None, 16, 5)},
    zero_shot=(),
    seeds=(1,),
    student_layers=((0, 1),),
    arms=("st_mta", "kl"),
    kinds=("contrastive",),
    batch_size=8,
    regression_epochs=1.0,
    compared_candidates=8,
    tuning={"epochs": 1.0, "batch_size": 8, "learning_rate": 5e-5, "num_negatives": 2},
    teacher_tuning={"epochs": 2.0},
    cross_encoder_tuning={"batch_size": 8, "num_negatives": 2},
)
"""Of the collection of the toys."""
