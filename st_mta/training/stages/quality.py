"""How good every scorer is on the development split before any training, and whether the teacher is worth it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

from st_mta.run.results import Quality
from st_mta.training.run_state import BEFORE, MAIN_MEASURE, RunState
from st_mta.training.throughput import speeds
from st_mta.types import Scorer

logger = logging.getLogger(__name__)


def measure_quality(run: RunState) -> Quality:
    """Measures every scorer and the untrained student; the best searcher brings passages to those that re-rank.

    Stored scores that do not cover the development queries are not measured.
    """
    scorers: list[Scorer] = [*run.pool.scorers, run.students.scorer(run.folder.student_before, BEFORE)]
    measured = {scorer.name: run.measure(scorer, "dev") for scorer in scorers if scorer.can_retrieve}
    leader = max((s for s in scorers if measured.get(s.name)), key=lambda s: measured[s.name][MAIN_MEASURE])
    measured |= {scorer.name: run.measure(scorer, "dev", leader) for scorer in scorers if not scorer.can_retrieve}
    quality = {name: values[MAIN_MEASURE] for name, values in measured.items() if values}
    warn_if_teacher_knows_less(run.pool.teacher.name, run.pool.assistant_names, quality)
    return Quality(measured, leader.name, speeds(scorers))


def warn_if_teacher_knows_less(teacher: str, assistants: Sequence[str], quality: Mapping[str, float]) -> list[str]:
    """Warns of assistants that are better than the teacher on the development split.

    Args:
        teacher: Its name.
        assistants: Their names.
        quality: nDCG@10 by name, of those that were measured.

    Returns:
        The names of the assistants that are better, the best first.
    """
    better = _better(teacher, assistants, quality)
    if better:
        found = ", ".join(f"{name} ({quality[name]:.3f})" for name in better)
        logger.warning(
            f"On the development queries the teacher {teacher} has nDCG@10 {quality[teacher]:.3f}, less than {found}: "
            "the student will learn from one who knows less. `st-mta teacher` makes a better one for a collection, or "
            "the best assistant may be the teacher."
        )
    return better


def weight_of_teacher(teacher: str, assistants: Sequence[str], quality: Mapping[str, float]) -> float:
    """1 where the teacher knows more than every assistant, 0.5 where their knowledge can add to its own.

    A teacher that was not measured counts as the one who knows most, as its name says.
    """
    return 0.5 if _better(teacher, assistants, quality) else 1.0


def _better(teacher: str, assistants: Sequence[str], quality: Mapping[str, float]) -> list[str]:
    known = [name for name in assistants if name in quality and teacher in quality]
    return sorted((name for name in known if quality[name] > quality[teacher]), key=lambda name: -quality[name])
