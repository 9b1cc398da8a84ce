"""Which bi-encoders the student is regressed to, and how much each of them weighs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from st_mta.assistants.weights import fit_log_linear
from st_mta.evaluation import evaluate_scorer
from st_mta.mining import best_windows, mine
from st_mta.scored import score_all
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.joined import JoinedScorer
from st_mta.types import Collection, Scorer

DEPTH = 50
"""Passages by each bi-encoder among which their weights are fitted."""
SCALE = 20.0
"""Of cosines, with which a softmax over them can be as sure as judgements are."""
LEAST = 0.02
"""Weights below it are left out: such a part costs its encoding and adds nothing."""

Chooser = Callable[[Sequence[EmbeddingScorer], Mapping[str, float], Collection], "list[float]"]
"""``(bi-encoders, nDCG@10 on dev by name, collection) -> a weight for each``, 0 for those that are left out."""


def usable_bi_encoders(scorers: Sequence[Scorer], width: int | None, kind: str) -> list[EmbeddingScorer]:
    """The bi-encoders to whose embeddings a student of this width can be regressed: without a map, those as wide."""
    found = [scorer for scorer in scorers if isinstance(scorer, EmbeddingScorer)]
    return found if kind != "none" else [scorer for scorer in found if scorer.dimension == width]


def best_of(scorers: Sequence[EmbeddingScorer], quality: Mapping[str, float]) -> int:
    """Place of the best on dev."""
    return max(range(len(scorers)), key=lambda place: quality[scorers[place].name])


def best(scorers: Sequence[EmbeddingScorer], quality: Mapping[str, float], collection: Collection) -> list[float]:
    """The best on dev alone."""
    leader = best_of(scorers, quality)
    return [float(place == leader) for place in range(len(scorers))]


def every(scorers: Sequence[EmbeddingScorer], quality: Mapping[str, float], collection: Collection) -> list[float]:
    """All alike."""
    return [1.0] * len(scorers)


def fitted(scorers: Sequence[EmbeddingScorer], quality: Mapping[str, float], collection: Collection) -> list[float]:
    """The weights that put most mass on the relevant passages of dev; the best alone where that is not worse."""
    alone = best(scorers, quality, collection)
    if len(scorers) == 1:
        return alone
    weights = _fit_weights(scorers, collection)
    kept = [scorer for scorer, weight in zip(scorers, weights) if weight]
    if len(kept) < 2:
        return alone
    joined = JoinedScorer(kept, [weight for weight in weights if weight])
    _, measures = evaluate_scorer(joined, collection, "dev")
    return weights if measures["ndcg@10"] > max(quality[scorer.name] for scorer in scorers) else alone


SCHEDULED, SELECTED = "scheduled", "selected"
CHOOSERS: dict[str, Chooser] = {
    "best": best,
    "all": every,
    "fitted": fitted,
    SCHEDULED: every,
    SELECTED: every,
}
"""Every way to choose by the word users write. The last two take all, but not at all times: one moves in the warm-up
from the bi-encoder that is nearest to the student to all together, the other takes in each batch of lists the one that
is closest to the teacher there."""


def _fit_weights(scorers: Sequence[EmbeddingScorer], collection: Collection) -> list[float]:
    """One weight per bi-encoder from the passages that they find for the queries of dev."""
    qrels = collection.qrels["dev"]
    lists = mine(
        collection,
        collection.queries_of("dev"),
        scorers,
        qrels,
        num_candidates=DEPTH * len(scorers),
        depth=DEPTH,
    )
    scores, mask, positive = score_all(collection, best_windows(collection, lists, scorers[0]), scorers).dense()
    found = np.asarray(fit_log_linear(SCALE * scores, positive, mask))
    shares = found / max(found.sum(), np.finfo(np.float64).tiny)
    return np.where(shares < LEAST, 0.0, shares).tolist()


def mapped_before(choose: str, terms: Mapping[str, float] | None) -> bool:
    """Whether the targets of lists are given in the student's space, so that any loss can take them.

    Terms over the batch compare with the bi-encoders as they are, and a selected one is known in its batch alone.

    Args:
        choose: A word of ``CHOOSERS``.
        terms: What the regression is made of, None for the distance alone.
    """
    return choose != SELECTED and terms is None
