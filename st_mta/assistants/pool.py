"""The pool: a teacher, its assistants, and the promotion of the student."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from st_mta.errors import InputError
from st_mta.names import refuse_unusable
from st_mta.types import Scorer


class AssistantPool:
    """A frozen teacher and its frozen assistants, in a fixed order.

    Args:
        teacher: The strongest scorer.
        assistants: The other scorers; may be empty.

    Attributes:
        promoted: Names of students that have become assistants.

    Raises:
        InputError: If two scorers are the same or carry the same name, a name cannot be used in a run, or a scorer
            reads the order of a list.
    """

    def __init__(self, teacher: Scorer, assistants: Sequence[Scorer]) -> None:
        self.teacher = teacher
        self.assistants = list(assistants)
        self.promoted: set[str] = set()
        self._check_no_duplicates()
        refuse_unusable(scorer.name for scorer in self.scorers)
        self._refuse_ordered()

    def _refuse_ordered(self) -> None:
        for scorer in self.scorers:
            if scorer.ordered:
                raise InputError(
                    expected="a teacher and assistants to whom the order of a list says nothing",
                    got=f"{scorer.name}, which reads it (ordered)",
                    consequence="the lists of a training begin with the labelled passages, and it would score those "
                    "for their place",
                    remedy="leave ordered out: lists are then shown in an order that depends on their texts alone",
                )

    def _check_no_duplicates(self) -> None:
        seen: dict[str, str] = {}
        for scorer in self.scorers:
            for key in (scorer.fingerprint, f"name {scorer.name}"):
                if key in seen:
                    raise InputError(
                        expected="a teacher and assistants that differ",
                        got=f"{scorer.name!r} and {seen[key]!r}, which are the same model or have the same name",
                        remedy="leave one of them out, or give them different names",
                    )
                seen[key] = scorer.name

    @property
    def scorers(self) -> list[Scorer]:
        """Teacher first, then the assistants in pool order."""
        return [self.teacher, *self.assistants]

    @property
    def assistant_names(self) -> list[str]:
        """Names in pool order."""
        return [assistant.name for assistant in self.assistants]

    def replaceable(self, quality: Mapping[str, float], student_quality: float) -> str | None:
        """The worst assistant's name where the student beats it, else None; by measures on the development split.

        An assistant that was not measured stays.
        """
        worst = min(
            (name for name in self.assistant_names if name in quality), key=lambda name: quality[name], default=None
        )
        return worst if worst is not None and student_quality > quality[worst] else None

    def replace(self, name: str, student: Scorer) -> None:
        """Puts the student in the place of an assistant."""
        self.assistants[self.assistant_names.index(name)] = student
        self.promoted.add(student.name)
        self._check_no_duplicates()
