"""What each stage of a run hands on, as it stands in ``state.json``; fields that older runs lack have defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Measures = dict[str, float]


@dataclass(frozen=True)
class Kept:
    """The student as it came, in its folder; ``fingerprint`` is the name of its embeddings, as in other results."""

    fingerprint: str = ""


@dataclass(frozen=True)
class Judged:
    """Development queries that the teacher judged."""

    queries: int


@dataclass(frozen=True)
class Quality:
    """Measures on dev before any training by scorer, who leads those that re-rank, and pairs per second computed."""

    dev: dict[str, Measures]
    first_stage: str
    pairs_per_second: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Trained:
    """A training: optimiser steps, texts through the student, first and last loss, share of queries by assistant (in
    all and over the steps), the loss's alpha at the end, and its class, configuration and citations.
    """

    steps: int = 0
    sequences: int = 0
    loss: dict[str, float] | None = None
    selected: dict[str, float] = field(default_factory=dict)
    selected_over_steps: Any = None
    alpha: float | None = None
    trained_with: Any = None


@dataclass(frozen=True)
class WarmedUp(Trained):
    """The warm-up; ``regressed_to`` is None where there was none, and ``skipped`` says why."""

    student: str = ""
    regressed_to: str | None = None
    dev: Measures | None = None
    skipped: str | None = None
    fingerprint: str = ""


@dataclass(frozen=True)
class Taught(Trained):
    """What the teacher has learned: its name from now on if it is ``kept``, and its measures on dev."""

    teacher: str = ""
    kept: bool = False
    dev: Measures = field(default_factory=dict)
    fingerprint: str = ""


@dataclass(frozen=True)
class RegressionTarget:
    """What the student's embeddings are regressed to, and how those of another space become the student's.

    Attributes:
        bi_encoders: Names in the pool.
        weights: A share of the similarity for each; together 1.
        kind: The word for the map.
        aligned_to: Whose space the map leads to; None where no map is needed.
        explained: Share of the embeddings' squared length that is left after the map.
        map_file: The map (D, d) as "matrix", within the run's folder.
    """

    bi_encoders: list[str] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    kind: str = "none"
    aligned_to: str | None = None
    explained: float | None = None
    map_file: str | None = None


@dataclass(frozen=True)
class Mined:
    """Candidates of an iteration: ``queries`` drawn, ``hard_queries`` among or beside them, ``pairs`` in all."""

    queries: int
    hard_queries: int
    pairs: int


@dataclass(frozen=True)
class Scored:
    """Scores of an iteration's candidates and what was fitted on them, one entry per scorer, the teacher first."""

    scorers: list[str]
    temperatures: list[float]
    weights: list[float] | None
    alpha: float
    student_scale: float | None
    dropped_queries: int
    candidates_per_query: float
    filter_rate: float | None = None
    rescued_queries: float | None = None
    pairs_per_second: dict[str, float] = field(default_factory=dict)
    relabelled_queries: int | None = None


@dataclass(frozen=True)
class Evaluated:
    """The student's measures on the development split after an iteration."""

    dev: Measures
    fingerprint: str = ""


@dataclass(frozen=True)
class Promoted:
    """The assistant that the student replaced, or None, and the pool at that time."""

    replaced: str | None
    pool: list[str]


@dataclass(frozen=True)
class Tested:
    """Everybody's measures on the split that is reported."""

    split: str
    measures: dict[str, Measures]


@dataclass(frozen=True)
class Served:
    """The student's quality in other forms of serving."""

    forms: list[Any]
