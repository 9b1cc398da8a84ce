"""The shape of ``report.json``: what a finished distillation says about itself."""

from __future__ import annotations

from typing import TypedDict

Measures = TypedDict("Measures", {"ndcg@10": float, "mrr@10": float, "map": float, "recall@100": float})


class CollectionEntry(TypedDict):
    """The data: sizes, what was dropped or made while loading, and a digest of it all."""

    name: str
    passages: int
    queries: dict[str, int]
    notes: list[str]
    fingerprint: str


class ModelEntry(Measures):
    """One system on the report's split; ``reranks`` names the first stage of a system that cannot search."""

    name: str
    kind: str
    parameters: int
    layers: int | None
    queries_per_second: float | None
    reranks: str | None


class Significance(TypedDict):
    """Paired test of the student against a baseline, as in ``significance.PairedTest``."""

    measure: str
    baseline: str
    difference: float
    p_value: float
    confidence_interval: list[float]
    wins: int
    losses: int
    ties: int


WarmUp = TypedDict("WarmUp", {"regressed_to": str, "steps": int, "seconds": float, "dev_ndcg@10": float})


class FirstAndLast(TypedDict):
    """The first and the last logged training loss."""

    first: float
    last: float


class Iteration(TypedDict):
    """One iteration; ``selected`` and ``temperatures`` are keyed by (fused) assistant, ``seconds`` by station."""

    iteration: int
    queries: int
    hard_queries: int
    candidates_per_query: float
    loss: FirstAndLast | None
    selected: dict[str, float]
    dev: dict[str, float]
    promoted: str | None
    pool: list[str]
    temperatures: dict[str, float]
    seconds: dict[str, float]


class Compute(TypedDict):
    """What was worked out and what the stores already had."""

    pairs_scored: int
    pairs_reused: int
    passages_encoded: int
    passages_reused: int
    queries_encoded: int
    queries_reused: int
    training_sequences: int
    training_steps: int
    seconds: dict[str, float]
    total_seconds: float


class Report(TypedDict):
    """Everything; ``development`` holds nDCG@10 on dev by name, for the teacher, assistants and "student_before"."""

    collection: CollectionEntry
    split: str
    seed: int
    versions: dict[str, str]
    device: str
    precision: str
    teacher: ModelEntry
    assistants: list[ModelEntry]
    student_before: ModelEntry
    student: ModelEntry
    recovered: float
    significance: Significance
    warm_up: WarmUp | None
    iterations: list[Iteration]
    best_iteration: int
    development: dict[str, float]
    compute: Compute
