"""Chooses what the student's embeddings are regressed to, and fits the map to the student's space."""

from __future__ import annotations

import logging

from st_mta.run.results import RegressionTarget
from st_mta.training.regression_target import choose_target
from st_mta.training.regression_weights import usable_bi_encoders
from st_mta.training.run_state import BEFORE, RunState

logger = logging.getLogger(__name__)


def choose_regression_target(run: RunState) -> RegressionTarget:
    """By quality on dev; none where there is no bi-encoder, or nothing is regressed."""
    arguments = run.arguments
    if run.reranks:
        return RegressionTarget()
    width = run.students.original.get_embedding_dimension()
    usable = usable_bi_encoders(run.initial_scorers, width, arguments.regression_map)
    if not usable or not (arguments.regression_epochs or run.settled.regression_weight):
        return RegressionTarget()
    found = choose_target(
        usable,
        run.students.scorer(run.folder.student_before, BEFORE),
        run.dev_quality(),
        run.collection,
        choose=arguments.regression_to,
        kind=arguments.regression_map,
        seed=arguments.seed,
        path=run.folder.regression_map,
    )
    if found.aligned_to is not None:
        logger.info(
            "Regression to %s in the space of %s: %.1f%% of the embeddings' squared length is kept.",
            " and ".join(found.bi_encoders),
            found.aligned_to,
            100 * (found.explained or 0.0),
        )
    return found
