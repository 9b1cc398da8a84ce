"""What is run under which budget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Cut:
    """How much of a collection is used.

    Attributes:
        train_queries: Training queries, a seeded sample.
        dev_queries: Development queries, cut from train where there are none.
        test_queries: Test queries, a seeded sample of the test split.
        passages: Passages kept: those judged for the queries above, then a seeded sample; None for all.
        queries_per_iteration: Training queries of an iteration.
        num_candidates: Passages per query.
        teacher_queries: Training queries of the teacher's bi-encoder, more than assistants and students see; None for
            all.
        cross_encoder_queries: Training queries of the teacher's cross-encoder; None for all that students see.
    """

    train_queries: int | None = None
    dev_queries: int = 500
    test_queries: int | None = None
    passages: int | None = None
    queries_per_iteration: int = 2000
    num_candidates: int = 16
    teacher_queries: int | None = None
    cross_encoder_queries: int | None = None


@dataclass(frozen=True)
class Budget:
    """What one budget runs.

    Attributes:
        collections: Trained and tested on.
        zero_shot: Tested on with the students of the collection named first.
        seeds: Of the arms' training.
        student_layers: Layers of MiniLM that the students keep, one student per entry.
        arms: Names of arms.
        kinds: Assistants made from MiniLM.
        batch_size: Queries per training step of the arms.
        learning_rate: Peak learning rate of the arms that name none of their own.
        regression_epochs: Of the warm-up that all arms share.
        max_length: Tokens per text.
        compared_candidates: Passages per development query on which teachers are compared.
        tuning: Settings of assistants.
        teacher_tuning: What differs for the teacher's bi-encoder.
        cross_encoder_tuning: What differs for the teacher's cross-encoder.
    """

    collections: dict[str, Cut]
    zero_shot: tuple[str, ...]
    seeds: tuple[int, ...]
    student_layers: tuple[tuple[int, ...], ...]
    arms: tuple[str, ...]
    kinds: tuple[str, ...] = ("contrastive", "shallow", "late-interaction")
    batch_size: int = 16
    learning_rate: float = 3e-5
    regression_epochs: float = 6.0
    max_length: int = 64
    compared_candidates: int = 32
    tuning: dict[str, Any] = field(default_factory=dict)
    teacher_tuning: dict[str, Any] = field(default_factory=dict)
    cross_encoder_tuning: dict[str, Any] = field(default_factory=dict)


BASELINES = ("mnrl", "margin_mse", "kl", "embed", "uniform_mean")
ABLATIONS = (
    "with_assistants",
    "paper",
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
        collections={
            "openbookqa": Cut(2000, 300, 500, None, 400, 8, None, 1000),
            "squad-sent": Cut(500, 200, 400, 1300, 200, 6, 2000, 500),
        },
        zero_shot=(),
        seeds=(1, 2, 3),
        student_layers=((0, 2, 5),),
        arms=(*BASELINES, "st_mta", "with_assistants", "paper"),
        tuning={"epochs": 1.0, "batch_size": 32, "learning_rate": 5e-5, "num_negatives": 2},
        teacher_tuning={"epochs": 2.0},
        cross_encoder_tuning={"batch_size": 16, "learning_rate": 1e-4, "num_negatives": 3},
    ),
    # At most 25 minutes on an H100.
    "gpu": Budget(
        collections={name: Cut() for name in ("openbookqa", "squad-sent", "scifact", "medquad")},
        zero_shot=("vaswani", "cranfield-src", "cacm"),
        seeds=(1, 2, 3),
        student_layers=((0, 2, 5), (0, 5)),
        arms=(*BASELINES, "st_mta", *ABLATIONS),
        max_length=128,
        compared_candidates=64,
        tuning={"epochs": 2.0, "batch_size": 64, "learning_rate": 5e-5, "num_negatives": 3},
        teacher_tuning={"epochs": 3.0},
        cross_encoder_tuning={"epochs": 3.0, "learning_rate": 1e-4, "num_negatives": 15},
    ),
}
