"""What is run under which budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Budget:
    """Sizes of one budget.

    Attributes:
        collections: Trained and tested on.
        zero_shot: Tested on with the students of the collection named first.
        train_queries: Training queries used, a seeded sample.
        dev_queries: Development queries, cut from train where there are none.
        test_queries: Test queries, a seeded sample of the test split.
        passages: Passages kept: those judged for the queries above, then a seeded sample; None for all.
        seeds: Of the arms' training.
        student_layers: Layers of MiniLM that the students keep, one student per entry.
        queries_per_iteration: Training queries of an iteration.
        num_candidates: Passages per query.
        tuning: Settings of assistants and teacher.
        teacher_tuning: What differs for the cross-encoder.
        kinds: Assistants made from MiniLM.
        arms: Names of arms.
        regression_epochs: Of the warm-up that all arms share.
        max_length: Tokens per text.
    """

    collections: tuple[str, ...]
    zero_shot: tuple[str, ...]
    train_queries: int | None
    dev_queries: int
    test_queries: int | None
    passages: int | None
    seeds: tuple[int, ...]
    student_layers: tuple[tuple[int, ...], ...]
    queries_per_iteration: int
    num_candidates: int
    arms: tuple[str, ...]
    kinds: tuple[str, ...] = ("contrastive", "pooled", "late-interaction")
    regression_epochs: float = 3.0
    max_length: int = 64
    tuning: dict[str, Any] = field(default_factory=dict)
    teacher_tuning: dict[str, Any] = field(default_factory=dict)


BASELINES = ("mnrl", "margin_mse", "kl", "embed", "uniform_mean")
ABLATIONS = (
    "without_assistants",
    "without_fusion",
    "without_selection",
    "without_iterations",
    "without_harder_queries",
    "per_query",
    "footrule",
    "rbo",
)

BUDGETS = {
    # At most 90 minutes on two cores.
    "cpu": Budget(
        collections=("openbookqa", "squad-sent"),
        zero_shot=(),
        train_queries=2000,
        dev_queries=300,
        test_queries=500,
        passages=4000,
        seeds=(1, 2, 3),
        student_layers=((0, 2, 5),),
        queries_per_iteration=1000,
        num_candidates=8,
        arms=(*BASELINES, "st_mta", "without_assistants", "without_iterations"),
        tuning={"epochs": 1.0, "batch_size": 32, "learning_rate": 5e-5, "num_negatives": 2},
        teacher_tuning={
            "epochs": 1.0,
            "batch_size": 16,
            "learning_rate": 1e-4,
            "num_negatives": 3,
            "max_queries": 1000,
        },
    ),
    # At most 25 minutes on an H100.
    "gpu": Budget(
        collections=("openbookqa", "squad-sent", "scifact", "medquad"),
        zero_shot=("vaswani", "cranfield-src", "cacm"),
        train_queries=None,
        dev_queries=500,
        test_queries=None,
        passages=None,
        seeds=(1, 2, 3),
        student_layers=((0, 2, 5), (0, 5)),
        queries_per_iteration=2000,
        num_candidates=16,
        arms=(*BASELINES, "st_mta", *ABLATIONS),
        max_length=128,
        tuning={"epochs": 2.0, "batch_size": 64, "learning_rate": 5e-5, "num_negatives": 3},
        teacher_tuning={"epochs": 3.0, "batch_size": 32, "learning_rate": 1e-4, "num_negatives": 15},
    ),
}
