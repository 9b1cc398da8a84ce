"""Options of teacher and assistants: how their scores become what the student imitates."""

from __future__ import annotations

from dataclasses import dataclass

from st_mta.assistants.calibration import CALIBRATIONS
from st_mta.assistants.fusion import check_fusion
from st_mta.assistants.selection import check_selection
from st_mta.errors import InputError
from st_mta.options import option
from st_mta.ranges import POSITIVE, PROPER_SHARE, SHARE
from st_mta.training.options.groups import TARGETS


@dataclass(kw_only=True)
class TargetOptions:
    """How scorers are calibrated, fused, selected and weighted."""

    calibration: str = option(
        "temperature",
        group=TARGETS,
        choices=tuple(CALIBRATIONS),
        help="How scorers are brought to one scale: by the same mean entropy, by the same after standardising each "
        "query's scores, or by the line that predicts the teacher's logits best.",
    )
    target_entropy: float = option(
        0.5,
        within=PROPER_SHARE,
        group=TARGETS,
        help="Mean entropy to which temperatures are fitted, as a share of that of a uniform distribution.",
    )
    fusion: str = option(
        "mean",
        group=TARGETS,
        help="How assistants are combined: mean, rrf, weighted (weights fitted on dev) or your own module:function.",
    )
    combinations: str = option(
        "all",
        group=TARGETS,
        choices=("all", "pairs", "none"),
        help="Which combinations of assistants compete for selection.",
    )
    selection: str = option(
        "kl",
        group=TARGETS,
        help="Closeness to the teacher: kl, footrule, rbo or your own module:function; bandit learns from the "
        "student's progress which of the three to use.",
    )
    select_per: str = option(
        "batch", group=TARGETS, choices=("batch", "query"), help="Select one assistant per batch or per query."
    )
    teacher_learns: str | None = option(
        None,
        group=TARGETS,
        choices=(None, "stage"),
        help="Train the teacher too, a cross-encoder: from the second iteration on, before it scores, on the "
        "student's distributions over the new lists and on the judgements. It is taken where it is not worse on dev.",
    )
    teacher_learning_rate: float | None = option(
        None, within=POSITIVE, group=TARGETS, help="Peak learning rate of a teacher that learns; None is 1e-5."
    )
    alpha: float | None = option(
        None,
        within=SHARE,
        group=TARGETS,
        help="Weight of the teacher; the selected assistant weighs 1 - alpha. None takes 1 where the teacher is "
        "better on dev than every assistant, else 0.5; assistants mine and are regressed to in either case.",
    )
    alpha_end: float | None = option(
        None,
        within=SHARE,
        group=TARGETS,
        help="Value that alpha moves to, linearly over the run; None leaves it where it is.",
    )

    def _check_scores(self) -> None:
        check_fusion(self.fusion)
        check_selection(self.selection)

    def _check_teacher(self) -> None:
        if self.teacher_learns is None and self.teacher_learning_rate is not None:
            raise InputError(
                expected="teacher_learns='stage' beside a teacher_learning_rate",
                got=f"teacher_learning_rate={self.teacher_learning_rate} and a teacher that stays as it is",
                remedy="set teacher_learns, or leave the rate out",
            )
