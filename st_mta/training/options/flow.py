"""Options of the flow: iterations, and how queries become harder."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.options import option
from st_mta.ranges import count_from
from st_mta.training.options.groups import FLOW


@dataclass(kw_only=True)
class FlowOptions:
    """How often the flow goes round, and over which queries."""

    num_iterations: int = option(
        3, within=count_from(1), group=FLOW, basic=True, help="Iterations of mine, score, train, evaluate, promote."
    )
    patience: int | None = option(
        1,
        within=count_from(1),
        group=FLOW,
        help="Stop after this many iterations without improvement on dev; None never stops early.",
    )
    curriculum: str = option(
        "all",
        group=FLOW,
        choices=("all", "wrong", "weighted", "none"),
        help="How queries become harder from the second iteration on: all of them and once more those whose best "
        "passage the student got wrong, only the wrong ones, drawn with a probability that grows with the error "
        "1 - 1 / rank of the first positive, or not at all.",
    )
