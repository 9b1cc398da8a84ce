"""The stages of a run, one file each, in the order of the flow.

Before the iterations: `keep_student`, `judge`, `quality`, `regression_target`, `warm_up`. Every iteration: `mine`,
`score`, `train`, `evaluate`, `promote`. At the end: `test`, `speed`, `keep_exits` where it has exits, `serve`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from st_mta.run.results import Evaluated, Mined, Promoted, Scored, Trained
from st_mta.training.run_state import RunState
from st_mta.training.stages.evaluate import evaluate_student
from st_mta.training.stages.mine import mine_candidates
from st_mta.training.stages.promote import promote_student
from st_mta.training.stages.score import score_candidates
from st_mta.training.stages.train import train_student


class Stage(NamedTuple):
    """A stage of every iteration.

    Attributes:
        name: In the journal, behind the iteration's.
        work: Does it, given the run, the iteration counted from 0 and the folder of the student it starts from.
        kind: The class of its result.
    """

    name: str
    work: Callable[[RunState, int, Path], Any]
    kind: type


ITERATION = (
    Stage("mine", mine_candidates, Mined),
    Stage("score", score_candidates, Scored),
    Stage("train", train_student, Trained),
    Stage("evaluate", evaluate_student, Evaluated),
    Stage("promote", promote_student, Promoted),
)
"""Every iteration's stages; another one is one file and one line here."""
