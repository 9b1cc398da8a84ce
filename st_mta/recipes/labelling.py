"""Judgements by a scorer, for collections that come without any: what it ranks first is relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from st_mta.assistants.calibration import fit_temperature
from st_mta.collections import with_dev_split, with_training_queries
from st_mta.recipes.tune import TuningSettings
from st_mta.scored import ScoredCandidates, score_all
from st_mta.training.judgements import judge_by_teacher, unjudged
from st_mta.types import Candidates, Collection, FloatArray, Qrels, Scorer

NUM_CROPS = 4000
"""Spans of passages that take the place of training queries, where there are none."""
DEPTH = 100
"""Passages of a query that the scorer looks at."""
TARGET_ENTROPY = 0.5
"""Of its labels, as a share of the greatest: a run fits its teacher's distributions to the same."""


def labelled_by(
    labeller: Scorer, collection: Collection, retrievers: Sequence[Scorer], settings: TuningSettings
) -> Collection:
    """The collection whose unlabelled queries are judged by a scorer.

    Args:
        labeller: Its best passage of a training query is the relevant one; of development queries its ten best are.
        collection: Without training queries, spans of its passages take their place.
        retrievers: They bring passages where the labeller cannot search.
        settings: ``max_queries`` training queries are judged at most, drawn by ``seed``.
    """
    collection = with_dev_split(with_training_queries(collection, settings.seed, NUM_CROPS), settings.seed)
    drawn = np.random.default_rng(settings.seed).permutation(collection.unlabelled)[: settings.max_queries]
    found = _judged(labeller, collection, np.sort(drawn), retrievers)
    train = {query: _best(grades) for query, grades in found.items()}
    dev = dict(collection.qrels["dev"]) | _judged(labeller, collection, unjudged(collection, "dev"), retrievers)
    note = f"{len(train)} training queries are judged by {labeller.name}."
    return replace(
        collection,
        qrels={
            **collection.qrels,
            "train": {**collection.qrels.get("train", {}), **train},
            "dev": {query: grades for query, grades in dev.items() if grades},
        },
        unlabelled=np.zeros(0, dtype=np.int64),
        notes=(*collection.notes, note),
    )


def soft_labels(labeller: Scorer, collection: Collection, lists: Candidates) -> FloatArray:
    """(P,) the labeller's scores at the temperature of ``TARGET_ENTROPY``; a softmax over a list is what it believes.

    A passage without a score gets the lowest of its list.
    """
    scored: ScoredCandidates = score_all(collection, lists, [labeller]).filled()
    scores, mask, _ = scored.dense()
    temperature = fit_temperature(scores[:, 0].to(torch.float64), mask, TARGET_ENTROPY, labeller.name)
    return np.asarray(scored.scores[0] / temperature, dtype=np.float32)


def _judged(labeller: Scorer, collection: Collection, queries: np.ndarray, retrievers: Sequence[Scorer]) -> Qrels:
    return judge_by_teacher(collection, queries, labeller, retrievers, DEPTH) if len(queries) else {}


def _best(grades: dict[str, int]) -> dict[str, int]:
    """The passages of the highest grade, one and its copies."""
    return {passage: 1 for passage, grade in grades.items() if grade == max(grades.values())}
