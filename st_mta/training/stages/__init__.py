"""The stages of a run, one file each, in the order of the flow.

Before the iterations: `keep_student`, `judge`, `quality`, `regression_target`, `warm_up`. Every iteration: `mine`,
`score`, `train`, `evaluate`, `promote`; where the teacher learns too, `teach` before `score`. At the end: `test`,
`speed`, `keep_exits` where the student has exits, `serve`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from st_mta.run.results import Evaluated, Mined, Promoted, Scored, Taught, Trained
from st_mta.training.run_state import TEACH, RunState
from st_mta.training.stages.evaluate import evaluate_student
from st_mta.training.stages.mine import mine_candidates
from st_mta.training.stages.promote import promote_student
from st_mta.training.stages.score import score_candidates
from st_mta.training.stages.teach import teach_teacher
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
TEACHING = Stage(TEACH, teach_teacher, Taught)
"""Before the scoring of every iteration but the first, where the teacher learns too: an untrained student has nothing
to teach."""


def with_teaching(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """The stages of an iteration in which the teacher learns before it scores."""
    place = [stage.name for stage in stages].index("score")
    return (*stages[:place], TEACHING, *stages[place:])
