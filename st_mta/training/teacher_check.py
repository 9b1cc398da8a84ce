"""Is the teacher worth learning from? Checked before anything is distilled."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

logger = logging.getLogger(__name__)


def warn_if_teacher_knows_less(teacher: str, assistants: Sequence[str], quality: Mapping[str, float]) -> list[str]:
    """Warns of assistants that are better than the teacher on the development split.

    Args:
        teacher: Its name.
        assistants: Their names.
        quality: nDCG@10 by name.

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
    """1 where the teacher knows more than every assistant, 0.5 where their knowledge can add to its own."""
    return 0.5 if _better(teacher, assistants, quality) else 1.0


def _better(teacher: str, assistants: Sequence[str], quality: Mapping[str, float]) -> list[str]:
    return sorted((name for name in assistants if quality[name] > quality[teacher]), key=lambda name: -quality[name])
