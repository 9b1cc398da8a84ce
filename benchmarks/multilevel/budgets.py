"""The budgets of benchmarks/assistants, whose assistants, teachers and students are used again, with shorter runs."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.assistants.budgets import BUDGETS as OF_ASSISTANTS
from benchmarks.assistants.budgets import Budget
from benchmarks.multilevel.arms import NAMES

QUERIES_PER_ITERATION = {
    # At most 90 minutes on two cores, three seeds of every arm.
    "cpu": {"openbookqa": 240, "squad-sent": 120},
    # At most 25 minutes on an H100.
    "gpu": {"openbookqa": 2000, "squad-sent": 2000},
}

LEARNING_RATE = 1e-4
REGRESSION_EPOCHS = 1.0
"""A short warm-up: word-level distillation is meant for a student that has much to learn, and after six epochs of
regression these runs are too short to move one."""


def _shorter(budget: Budget, queries: dict[str, int]) -> Budget:
    """The same cuts, and so the same material, with fewer queries per iteration."""
    collections = {
        name: replace(budget.collections[name], queries_per_iteration=number) for name, number in queries.items()
    }
    return replace(
        budget,
        collections=collections,
        zero_shot=(),
        student_layers=budget.student_layers[:1],
        arms=NAMES,
        learning_rate=LEARNING_RATE,
        regression_epochs=REGRESSION_EPOCHS,
    )


BUDGETS = {name: _shorter(OF_ASSISTANTS[name], queries) for name, queries in QUERIES_PER_ITERATION.items()}
