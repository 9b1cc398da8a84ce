"""Precision and recall of a rule over its margin."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.filter.rules import FILTERS
from st_mta.types import BoolArray, FloatArray

POINTS = 60
MARGINS = (-0.1, -0.05, 0.0, 0.05, 0.1, 0.2)
"""Margins a user would write down; negative ones filter less."""


def curve(rule: str, excess: FloatArray, scores: FloatArray, known: FloatArray, found: BoolArray) -> dict[str, Any]:
    """Average precision, and precision and recall at margins from strict to loose.

    Rules with a margin decide by `DynamicFilter.rejects`, as in mining and training.

    Args:
        rule: Its name.
        excess: (P,) of the rule.
        scores: (P,) the guide's.
        known: (P,) its score of the known positive.
        found: (P,) the hidden positives.
    """
    # Denser where few are filtered: that is where a filter is used.
    shares = np.unique(np.geomspace(1 / len(excess), 1.0, POINTS))
    margins = np.unique(-np.quantile(excess, 1 - shares))
    points = [_point(rule, float(margin), excess, scores, known, found) for margin in margins]
    return {
        "average_precision": float(average_precision_score(found, excess)),
        "curve": points,
        "margins": [_point(rule, margin, excess, scores, known, found) for margin in MARGINS if rule in FILTERS],
    }


def _point(
    rule: str, margin: float, excess: FloatArray, scores: FloatArray, known: FloatArray, found: BoolArray
) -> dict[str, float | None]:
    filtered = FILTERS[rule](margin).rejects(scores, known) if rule in FILTERS else excess > -margin
    hits = int((filtered & found).sum())
    return {
        "margin": margin,
        "precision": hits / int(filtered.sum()) if filtered.any() else None,
        "recall": hits / int(found.sum()),
        "filtered": float(filtered.mean()),
    }
