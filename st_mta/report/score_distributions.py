"""How the scores of a scorer lie: counts and quantiles that a report keeps, so that its plots need no score files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from st_mta.report.schema import IterationScores, ScoreDistribution
from st_mta.scored import ScoredCandidates
from st_mta.types import BoolArray, FloatArray

BINS = 32
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def score_distributions(iterations: Sequence[ScoredCandidates]) -> list[IterationScores]:
    """Distributions of every scorer in every iteration; a scorer has the same bins in all of them.

    Args:
        iterations: The candidates of iteration 0, 1, ... with finite scores; memory maps are read row by row.
    """
    spans = _spans(iterations)
    return [
        {
            "iteration": number,
            "distributions": [
                _distribution(name, row, scored.candidates.positive, *spans[name]) for name, row in _rows(scored)
            ],
        }
        for number, scored in enumerate(iterations)
    ]


def _rows(scored: ScoredCandidates) -> Iterator[tuple[str, FloatArray]]:
    return ((name, row) for name, row in zip(scored.scorers, scored.scores) if len(row))


def _spans(iterations: Sequence[ScoredCandidates]) -> dict[str, tuple[float, float]]:
    """Least and greatest score of every scorer over all iterations; never empty."""
    spans: dict[str, tuple[float, float]] = {}
    for name, row in (found for scored in iterations for found in _rows(scored)):
        low, high = spans.get(name, (np.inf, -np.inf))
        spans[name] = min(low, float(row.min())), max(high, float(row.max()))
    return {name: (low, high) if low < high else (low - 0.5, high + 0.5) for name, (low, high) in spans.items()}


def _distribution(name: str, scores: FloatArray, positive: BoolArray, low: float, high: float) -> ScoreDistribution:
    return {
        "scorer": name,
        "low": low,
        "high": high,
        "counts": _counts(scores, low, high),
        "positives": _counts(scores[positive], low, high),
        "quantiles": {str(part): float(value) for part, value in zip(QUANTILES, np.quantile(scores, QUANTILES))},
    }


def _counts(scores: FloatArray, low: float, high: float) -> list[int]:
    # In double precision, so that the extremes are not rounded out of the range.
    counts, _ = np.histogram(scores.astype(np.float64), bins=BINS, range=(low, high))
    return [int(count) for count in counts]
