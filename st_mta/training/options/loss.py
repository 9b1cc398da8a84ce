"""Options of the loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from st_mta.losses.by_name import LOSSES, check_loss, check_objective
from st_mta.losses.objectives import OBJECTIVES
from st_mta.losses.query_weights import QUERY_WEIGHTS
from st_mta.losses.scope import LIST, SCOPES
from st_mta.options import option
from st_mta.ranges import NOT_NEGATIVE, POSITIVE, count_from
from st_mta.training.options.groups import LOSS


@dataclass(kw_only=True)
class LossOptions:
    """What the student minimises in an iteration."""

    loss: str = option(
        "kl",
        group=LOSS,
        help=f"What the student minimises: {', '.join(LOSSES)}, or your own module:function.",
    )
    loss_options: dict[str, Any] | None = option(
        None,
        group=LOSS,
        help="Further options of that loss by their names, as JSON, or as a section of the YAML file: for multi-level "
        '\'{"word": ["attention"], "word_weight": 0.1, "layers": "last"}\'.',
    )
    objective: str | None = option(
        None,
        none=True,
        group=LOSS,
        help="What the loss compares the student's scores of a list with its targets by: "
        f"{', '.join(OBJECTIVES)}, or your own module:function. None is that of the loss: kl, or the one it is named "
        "after. Where scores were at hand, those that know only their order (plackett-luce, ranknet, adr-mse) were "
        "worse than kl, and none was better (benchmarks/methods).",
    )
    objective_options: dict[str, Any] | None = option(
        None,
        group=LOSS,
        help="Options of that objective by their names, as JSON, or as a section of the YAML file: for plackett-luce "
        '\'{"order": "positives-first", "weights": "confidence"}\'.',
    )
    query_weights: str | None = option(
        None,
        none=True,
        group=LOSS,
        help=f"How much each query weighs in what is imitated: {', '.join(QUERY_WEIGHTS)} (confidence: more where the "
        "teacher is sure; error: more where the student gives the positives little), or your own module:function. "
        "None is uniform.",
    )
    contrastive_weight: float = option(
        0.1, within=NOT_NEGATIVE, group=LOSS, help="Weight of the in-batch contrastive term on the positives."
    )
    candidates: str = option(
        LIST,
        group=LOSS,
        choices=SCOPES,
        help="Over which passages teacher and student are compared: those of each query's own list, or all of the "
        "batch (in-batch, as TCT-ColBERT does; the teacher is then a bi-encoder or late-interaction model, alone).",
    )
    exits: list[int] | None = option(
        None,
        within=count_from(1),
        group=LOSS,
        help="Train the student's first so many layers as students of their own too, each led by the next larger one "
        "(MoSE): 1 3 keeps two, beside the student in exits/. None trains the whole student alone.",
    )
    scale: float | None = option(
        None,
        within=POSITIVE,
        group=LOSS,
        help="Factor on the student's similarities. None fits it before each training, so that the student's "
        "distributions have the target entropy too.",
    )

    def _check_loss(self) -> None:
        check_loss(self.loss)
        # Options alone are those of the loss's own objective, and the loss may be given elsewhere.
        options = None if self.objective is None else self.objective_options
        check_objective(self.loss, self.objective, options, self.query_weights)
