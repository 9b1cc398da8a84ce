"""The shape of ``report.json``: what a finished distillation says about itself."""

from __future__ import annotations

from typing import Any, TypedDict

from typing_extensions import NotRequired

Measures = TypedDict(
    "Measures", {"ndcg@10": float, "mrr@10": float, "map": float, "recall@100": float}, total=False
)  # a teacher that was not measured has none
TrainedLoss = TypedDict("TrainedLoss", {"class": str, "config": dict[str, Any], "citations": dict[str, str]})
"""The loss that trained: "module.Class", its parameters, and every loss in it with its BibTeX ("" if it has none)."""


class CollectionEntry(TypedDict):
    """The data: sizes, what was dropped or made while loading, and a digest of it all."""

    name: str
    passages: int
    queries: dict[str, int]
    notes: list[str]
    fingerprint: str
    licence: NotRequired[str | None]
    hub_id: NotRequired[str | None]


class ModelEntry(Measures):
    """One system on the report's split; ``reranks`` names the first stage of a system that cannot search."""

    name: str
    kind: str
    parameters: int
    layers: int | None
    queries_per_second: float | None
    reranks: str | None
    hub_id: NotRequired[str | None]
    revision: NotRequired[str | None]


ServingEntry = TypedDict(
    "ServingEntry",
    {
        "name": str,  # of the row, in words
        "queries": str,  # the model that encodes the queries
        "passages": str,  # the model that encoded the passages
        "dimension": int,
        "precision": str,  # of the stored passages: "float32", "int8", "binary"
        "bytes_per_passage": float,
        "ndcg@10": float,
        "queries_per_second": NotRequired[float | None],  # of the student and its exits, where it has any
    },
)
"""One way of serving the student: which model encodes what, and how passages are stored."""


class ScoreDistribution(TypedDict):
    """Raw scores of one scorer over the candidates of one iteration, in bins of equal width from ``low`` to ``high``.

    ``counts`` are all candidates, ``positives`` those marked relevant; ``quantiles`` are keyed "0.05" to "0.95".
    """

    scorer: str
    low: float
    high: float
    counts: list[int]
    positives: list[int]
    quantiles: dict[str, float]


class IterationScores(TypedDict):
    """The distributions of one iteration, the teacher's first."""

    iteration: int
    distributions: list[ScoreDistribution]


class PlacedPassage(TypedDict):
    """A passage in two rankings: its grade (None: not judged) and its ranks from 1 (None: not found)."""

    passage: str
    grade: int | None
    student_rank: int | None
    baseline_rank: int | None


class QueryDifference(TypedDict):
    """One query: nDCG@10 of both systems, the passage each put first, and the most relevant one."""

    query: str
    student: float
    baseline: float
    student_first: PlacedPassage | None
    baseline_first: PlacedPassage | None
    relevant: PlacedPassage | None


class Tally(TypedDict):
    """Queries on which the student is better than a baseline, worse, or equal."""

    wins: int
    losses: int
    ties: int


class Comparison(Tally):
    """The student against "student_before" or "teacher", query by query.

    ``differences`` in nDCG@10 fall from the largest win to the largest loss; of very many queries it holds evenly
    spaced ones.
    """

    baseline: str
    differences: list[float]
    largest_wins: list[QueryDifference]
    largest_losses: list[QueryDifference]


class Significance(Tally):
    """Paired test of the student against a baseline, as in ``significance.PairedTest``."""

    measure: str
    baseline: str
    difference: float
    p_value: float
    confidence_interval: list[float]


WarmUp = TypedDict("WarmUp", {"regressed_to": str, "steps": int, "seconds": float, "dev_ndcg@10": float})


class RegressedTo(TypedDict):
    """Bi-encoders with their shares of the similarity, the word for the map, whose space it leads to (None without a
    map), and the share of the embeddings' squared length that it keeps.
    """

    bi_encoders: list[str]
    weights: list[float]
    map: str
    aligned_to: str | None
    explained: float | None


class SelectedOverSteps(TypedDict):
    """Share of the queries for which each (fused) assistant was selected, in stretches that end at these steps."""

    steps: list[int]
    shares: dict[str, list[float]]


TaughtTeacher = TypedDict("TaughtTeacher", {"name": str, "kept": bool, "steps": int, "dev_ndcg@10": float})
"""What a teacher that learns became, and whether it took the place of the one before."""


class Iteration(TypedDict):
    """One iteration; ``selected`` and ``temperatures`` are keyed by (fused) assistant, ``seconds`` by stage.

    ``filter_rate`` is the share of mined candidates that were dropped as likely false negatives,
    ``relabelled_queries`` the number of queries whose positive the teacher chose, ``alpha`` the weight of the teacher
    beside the selected assistant (at the end of the iteration, where it moves), ``loss`` has the "first" and "last"
    logged.
    """

    iteration: int
    queries: int
    hard_queries: int
    candidates_per_query: float
    loss: dict[str, float] | None
    selected: dict[str, float]
    dev: dict[str, float]
    promoted: str | None
    pool: list[str]
    temperatures: dict[str, float]
    seconds: dict[str, float]
    filter_rate: NotRequired[float]
    alpha: NotRequired[float]
    relabelled_queries: NotRequired[int]
    selected_over_steps: NotRequired[SelectedOverSteps | None]
    teacher: NotRequired[TaughtTeacher]


class StoppedEarly(TypedDict):
    """A run that ended before its last iteration: how many were asked for, and how many at the end were in vain."""

    num_iterations: int
    in_vain: int


class Compute(TypedDict):
    """What was worked out and what the stores already had."""

    pairs_scored: int
    pairs_reused: int
    passages_encoded: int
    passages_reused: int
    queries_encoded: int
    queries_reused: int
    queries_searched: NotRequired[int]  # not in older reports, like the next
    searches_reused: NotRequired[int]
    training_sequences: int
    training_steps: int
    seconds: dict[str, float]
    total_seconds: float


class Report(TypedDict):
    """Everything.

    ``development`` holds nDCG@10 on dev by name, for the teacher, assistants and "student_before"; ``recovered`` is
    None where the teacher was not measured; ``kept`` says which student is delivered, "student-before", "warm-up" or
    "iteration-NN"; ``warm_up_skipped`` is a sentence why there was no warm-up, ``regression`` what embeddings are
    regressed to; ``loss`` trained the delivered student; ``recipe`` names the one that the options come from.
    """

    collection: CollectionEntry
    split: str
    recipe: NotRequired[str]
    seed: int
    versions: dict[str, str]
    device: str
    precision: str
    teacher: ModelEntry
    assistants: list[ModelEntry]
    student_before: ModelEntry
    student: ModelEntry
    recovered: float | None
    significance: Significance
    warm_up: WarmUp | None
    warm_up_skipped: NotRequired[str]
    regression: NotRequired[RegressedTo]
    iterations: list[Iteration]
    best_iteration: int
    kept: NotRequired[str]
    loss: NotRequired[TrainedLoss | None]
    stopped_early: NotRequired[StoppedEarly | None]
    development: dict[str, float]
    compute: Compute
    serving: NotRequired[list[ServingEntry]]
    score_distributions: NotRequired[list[IterationScores]]
    comparisons: NotRequired[list[Comparison]]
