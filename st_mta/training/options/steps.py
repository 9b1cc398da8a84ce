"""Options of training steps."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.options import option
from st_mta.ranges import POSITIVE, SHARE, count_from
from st_mta.training.options.groups import STEPS


@dataclass(kw_only=True)
class StepOptions:
    """How an iteration's training goes; those of the host have other defaults here."""

    num_train_epochs: float = option(
        1.0,
        within=POSITIVE,
        group=STEPS,
        basic=True,
        aliases=("--epochs",),
        help="Passes over the queries of an iteration.",
    )
    per_device_train_batch_size: int = option(
        32,
        within=count_from(1),
        group=STEPS,
        basic=True,
        aliases=("--batch-size",),
        help="Queries per training step of a process.",
    )
    learning_rate: float = option(
        1e-4, within=POSITIVE, group=STEPS, basic=True, help="Peak learning rate of an iteration."
    )
    batches: str = option(
        "shuffled",
        group=STEPS,
        choices=("shuffled", "sharing"),
        help="Which queries train together: any, or those whose lists share passages. A shared passage goes through "
        "the student once, so that steps are cheaper; the contrastive term then has fewer and harder negatives.",
    )
    dropout: float | None = option(
        0.0, within=SHARE, group=STEPS, help="Dropout of the student in training; None leaves the model's own."
    )
    max_length: int | None = option(
        None,
        within=count_from(1),
        group=STEPS,
        help="Tokens per text for the student and for models given by name; None leaves each model's own limit.",
    )
