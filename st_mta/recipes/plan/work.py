"""The work of a run, before it is done: piece by piece, by stage, and in all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

PAIRS, TEXTS, SEARCHES, STEPS = "pairs", "texts", "searches", "steps"
"""What is counted: pairs scored, texts encoded, queries searched, steps of a training."""


@dataclass(frozen=True)
class Work:
    """One piece of work.

    Attributes:
        stage: As the run's journal calls it.
        what: What is done, by which model.
        unit: What is counted, a word of those above, or "" where nothing is.
        count: How many are computed.
        stored: How many more are needed and are stored, or will be by then.
        tokens: Read by the model.
        read: Bytes of texts and embeddings.
        written: Bytes, on disk.
        seconds: On this machine; None where no speed could be measured.
        at_most: Whether the numbers are bounds, since what they depend on is not known yet.
    """

    stage: str
    what: str
    unit: str = ""
    count: int = 0
    stored: int = 0
    tokens: int = 0
    read: int = 0
    written: int = 0
    seconds: float | None = 0.0
    at_most: bool = False


@dataclass(frozen=True)
class Total:
    """Sums over pieces of work; ``unmeasured`` names those of unknown speed, whose seconds are missing."""

    pairs: int
    texts: int
    searches: int
    steps: int
    tokens: int
    read: int
    written: int
    seconds: float
    at_most: bool
    unmeasured: list[str]


@dataclass(frozen=True)
class Plan:
    """The work of a run.

    Attributes:
        works: In the order of the stages.
        memory: Bytes that the process holds at most, about, without the activations of a training.
        device: The type of the device it was measured on, such as "cpu".
        finished: Stages that the output folder has already.
        notes: What the numbers leave out or cannot know.
    """

    works: list[Work]
    memory: int
    device: str
    finished: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def stages(self) -> dict[str, Total]:
        """Sums by stage, in the order of the run."""
        names = dict.fromkeys(work.stage for work in self.works)
        return {name: total(work for work in self.works if work.stage == name) for name in names}

    @property
    def total(self) -> Total:
        """Sums over the run."""
        return total(self.works)

    @property
    def hours(self) -> float:
        """Of this machine, in one process."""
        return self.total.seconds / 3600

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON."""
        work = [asdict(one) for one in self.works]
        stages = {name: asdict(found) for name, found in self.stages.items()}
        return {
            "device": self.device,
            "memory": self.memory,
            "total": asdict(self.total),
            "stages": stages,
            "work": work,
            "finished": self.finished,
            "notes": self.notes,
        }


def total(works: Iterable[Work]) -> Total:
    """The sums over some works."""
    works = list(works)
    counts = {unit: sum(work.count for work in works if work.unit == unit) for unit in (PAIRS, TEXTS, SEARCHES, STEPS)}
    sums = {name: sum(getattr(work, name) for work in works) for name in ("tokens", "read", "written")}
    return Total(
        **counts,
        **sums,
        seconds=sum(work.seconds or 0.0 for work in works),
        at_most=any(work.at_most for work in works),
        unmeasured=[work.what for work in works if work.seconds is None],
    )
