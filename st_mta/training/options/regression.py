"""Options of the warm-up and of the regression to a bi-encoder's embeddings."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.errors import InputError
from st_mta.losses.embedding.spaces import MAPS, PROCRUSTES
from st_mta.losses.embedding.terms import check_terms
from st_mta.options import option
from st_mta.ranges import NOT_NEGATIVE, POSITIVE, count_from
from st_mta.training.options.groups import WARM_UP
from st_mta.training.regression_weights import CHOOSERS, SCHEDULED, SELECTED


@dataclass(kw_only=True)
class RegressionOptions:
    """To what embeddings the student is regressed, how and how long."""

    regression_epochs: float = option(
        2.0,
        within=NOT_NEGATIVE,
        group=WARM_UP,
        help="Passes of the warm-up, which regresses the student's embeddings to those of a bi-encoder; 0 leaves it "
        "out.",
    )
    regression_terms: dict[str, float] | None = option(
        None,
        group=WARM_UP,
        help="What the regression is made of, as JSON: the words cosine, mse, l2, gram (the batch's similarities), "
        'relative (their order) and spread with their weights. None is {"cosine": 1}.',
    )
    regression_texts: str | None = option(
        None,
        group=WARM_UP,
        help="Further texts for the warm-up, without labels: a file or folder of .txt (a text per line), .jsonl, .csv "
        "or .parquet, or a Hub data set.",
    )
    regression_learning_rate: float = option(
        1e-3, within=POSITIVE, group=WARM_UP, help="Peak learning rate of the warm-up."
    )
    regression_batch_size: int = option(32, within=count_from(1), group=WARM_UP, help="Texts per step of the warm-up.")
    regression_max_texts: int = option(
        200_000, within=count_from(1), group=WARM_UP, help="Texts per pass of the warm-up at most (a seeded sample)."
    )
    regression_weight: float | None = option(
        None,
        within=NOT_NEGATIVE,
        group=WARM_UP,
        help="Weight of the same regression in every iteration. None takes 3 where a bi-encoder is at hand and the "
        "loss can use it, else 0.",
    )
    regression_to: str = option(
        "best",
        group=WARM_UP,
        choices=tuple(CHOOSERS),
        help="Whose embeddings the student is regressed to: the best bi-encoder's on dev; those of all side by side; "
        "side by side with weights fitted on dev, where that is better on dev than the best; scheduled, in the "
        "warm-up from the one nearest to the student to all together; or selected, in each batch of lists the one "
        "closest to the teacher there.",
    )
    regression_map: str = option(
        PROCRUSTES,
        group=WARM_UP,
        choices=MAPS,
        help="How embeddings of another width or space become the student's: by their principal directions rotated to "
        "the student's family (or the untrained student), by a layer on the student's side that is learned or kept "
        "orthogonal, or not at all, which leaves bi-encoders of the student's width.",
    )

    def _check_regression(self) -> None:
        if self.regression_terms is not None:
            check_terms(self.regression_terms)
        one_at_a_time = self.regression_to in (SCHEDULED, SELECTED) and self.regression_map != PROCRUSTES
        if one_at_a_time or (self.regression_to != "best" and self.regression_map == "none"):
            raise InputError(
                expected=f"regression_map={PROCRUSTES!r} for regression_to={self.regression_to!r}",
                got=repr(self.regression_map),
                consequence="side by side the bi-encoders are wider than the student",
                remedy="leave regression_map out",
            )
