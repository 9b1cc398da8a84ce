"""The rules that are compared, each as a number per pair: the larger, the sooner the passage is filtered.

Three libraries' names stand for one rule. With the score t of the positive (the lowest one where there are several),

- `DynamicFilter` filters scores above t - relative_margin * |t| - absolute_margin;
- the host's `GISTEmbedLoss` filters similarities above t - margin ("absolute") or t - |t| * margin ("relative"), from
  its guide, in its query-passage comparison;
- the host's `mine_hard_negatives` filters where score + absolute_margin > t, or score > t - |t| * relative_margin.

For the same scorer they decide alike; `same_decisions` counts where not. What differs between them is the scorer they
can be used with: the loss takes a bi-encoder only. The loss has one comparison more, passage with positive, which
takes away the positive of another query as a contrast to this query's positive; here it is read as a rule on passages.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from st_mta.filters import DynamicFilter
from st_mta.types import BoolArray, FloatArray

RELATIVE, ABSOLUTE = "relative margin", "absolute margin"
PASSAGES, SIMILARITY, RANDOM = "GISTEmbedLoss, passage to positive", "similarity to the positive", "random"
ALSO = {
    RELATIVE: ["DynamicFilter(relative_margin)", "GISTEmbedLoss 'relative'", "mine_hard_negatives relative_margin"],
    ABSOLUTE: ["DynamicFilter(absolute_margin)", "GISTEmbedLoss 'absolute'", "mine_hard_negatives absolute_margin"],
}
FILTERS: dict[str, Callable[[float], DynamicFilter]] = {
    RELATIVE: lambda margin: DynamicFilter(relative_margin=margin),
    ABSOLUTE: lambda margin: DynamicFilter(absolute_margin=margin),
}
"""Rules with a margin, as training uses them."""
HOST: dict[str, list[Callable[[FloatArray, FloatArray, float], BoolArray]]] = {
    RELATIVE: [lambda scores, known, margin: scores > known - np.abs(known) * margin],
    ABSOLUTE: [
        lambda scores, known, margin: scores > known - margin,
        lambda scores, known, margin: scores + margin > known,
    ],
}
"""The host's formulas for the same, as they stand in gist_embed.py and hard_negatives.py."""


def excesses(scores: FloatArray, known: FloatArray, similarity: FloatArray | None) -> dict[str, FloatArray]:
    """How far each pair is beyond a margin of zero, in the unit of the rule's margin.

    Args:
        scores: (P,) the guide's.
        known: (P,) its score of the query's known positive.
        similarity: (P,) the guide's similarity of passage and known positive; None where it has none.
    """
    found = {RELATIVE: (scores - known) / np.maximum(np.abs(known), 1e-9), ABSOLUTE: scores - known}
    if similarity is not None:
        found |= {PASSAGES: similarity - known, SIMILARITY: similarity}
    return found | {RANDOM: np.random.default_rng(0).random(len(scores)).astype(np.float32)}


def same_decisions(scores: FloatArray, known: FloatArray, margins: list[float]) -> dict[str, int]:
    """By rule, in how many decisions (pairs times margins) the host's formulas differ from `DynamicFilter`."""
    return {
        rule: sum(
            int((formula(scores, known, margin) != FILTERS[rule](margin).rejects(scores, known)).sum())
            for formula in HOST[rule]
            for margin in margins
        )
        for rule in FILTERS
    }
