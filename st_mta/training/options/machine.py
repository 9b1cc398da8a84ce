"""Options of the machine and of evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.options import option
from st_mta.ranges import SEED, count_from
from st_mta.training.options.groups import MACHINE


@dataclass(kw_only=True)
class MachineOptions:
    """What fits the machine, what is evaluated, and the seed."""

    documents_per_forward: int | None = option(
        None,
        within=count_from(1),
        group=MACHINE,
        help="Passages per forward pass of the student within a step, sorted by length so that little is padded; None "
        "takes everything at once, and 32 on a CPU for a student that cannot do without padding.",
    )
    mini_batch_size: int | None = option(
        None,
        within=count_from(1),
        group=MACHINE,
        help="Texts in memory at once within a step, whatever the batch: every text passes through the student a "
        "second time, and the gradients are those of the whole batch. None takes everything at once.",
    )
    precision: str = option(
        "auto",
        group=MACHINE,
        choices=("auto", "fp32", "bf16"),
        help="Number format of training and scorers; auto is bf16 where the machine multiplies it faster.",
    )
    eval_depth: int = option(
        100, within=count_from(1), group=MACHINE, help="Passages retrieved per query for evaluation."
    )
    max_eval_queries: int = option(500, within=count_from(1), group=MACHINE, help="Development queries used at most.")
    seed: int = option(42, within=SEED, group=MACHINE, basic=True, help="Seed of everything random.")
