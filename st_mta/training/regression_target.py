"""What the student's embeddings are regressed to: bi-encoders that were chosen, in the student's space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from st_mta.atomic import atomic_path
from st_mta.lookup import check_choice
from st_mta.procrustes import Moments, share_explained
from st_mta.run.results import RegressionTarget
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.joined import JoinedScorer
from st_mta.stores.embeddings import Role
from st_mta.training.curriculum import training_queries
from st_mta.training.regression_weights import CHOOSERS, PROCRUSTES
from st_mta.training.serving import sharing_space
from st_mta.types import Collection, FloatArray, IntArray, Scorer, Texts

FITTED_FROM = 20_000
"""Texts of each role at most from which a map is fitted; more change nothing that can be seen."""


def choose_target(
    scorers: Sequence[EmbeddingScorer],
    student: EmbeddingScorer,
    quality: Mapping[str, float],
    collection: Collection,
    *,
    choose: str,
    kind: str,
    seed: int,
    path: Path,
) -> RegressionTarget:
    """Chooses the bi-encoders and fits the map from their space to the student's, which is written to a file.

    The map leads to the space of the best bi-encoder that shares the student's, its own family's, and where there is
    none to that of the untrained student. Distances to targets in a space of no relation to the student's would be
    met only by unlearning what the student knows.

    Args:
        scorers: Bi-encoders, in the order of the pool.
        student: Untrained.
        quality: nDCG@10 on dev by name.
        collection: Whose texts the map is fitted on.
        choose: A word of ``CHOOSERS``.
        kind: A word of ``MAPS``.
        seed: For the sample of texts.
        path: Of the file.
    """
    check_choice("regression_to", choose, CHOOSERS)
    weights = CHOOSERS[choose](scorers, quality, collection)
    kept = [scorer for scorer, weight in zip(scorers, weights) if weight]
    weights = [weight for weight in weights if weight]
    family = sharing_space(student, scorers, collection)
    anchor = max(family, key=lambda scorer: quality[scorer.name], default=student)
    needless = kind == "none" or (kind == PROCRUSTES and len(kept) == 1 and kept[0] is anchor)
    found = RegressionTarget([one.name for one in kept], [w / sum(weights) for w in weights], kind)
    if needless:
        return found
    moments = _moments(joined_target(kept, weights, None), anchor, collection, seed)
    matrix = moments.procrustes()
    with atomic_path(path) as temporary:
        save_file({"matrix": np.ascontiguousarray(matrix)}, temporary)
    return RegressionTarget(
        found.bi_encoders, found.weights, kind, anchor.name, share_explained(moments, matrix), path.name
    )


def joined_target(
    parts: Sequence[EmbeddingScorer], weights: Sequence[float], matrix: FloatArray | None
) -> EmbeddingScorer:
    """The bi-encoders as one; a single one without a map is itself."""
    if len(parts) == 1:
        return parts[0] if matrix is None else JoinedScorer(parts, None, matrix, f"{parts[0].name}, mapped")
    return JoinedScorer(parts, weights, matrix)


def load_target(found: RegressionTarget, scorers: Sequence[Scorer], folder: Path) -> EmbeddingScorer:
    """The scorer that a target chosen before means, in the student's space unless the map to it is trained.

    Args:
        found: As [`choose_target`] gave it.
        scorers: The pool, in which its bi-encoders are.
        folder: Where its map is.
    """
    by_name = {scorer.name: scorer for scorer in scorers if isinstance(scorer, EmbeddingScorer)}
    fixed = found.map_file is not None and found.kind == PROCRUSTES
    matrix = load_file(folder / str(found.map_file))["matrix"] if fixed else None
    return joined_target([by_name[name] for name in found.bi_encoders], found.weights, matrix)


def _moments(
    target: EmbeddingScorer, anchor: EmbeddingScorer, collection: Collection, seed: int, size: int = 2**12
) -> Moments:
    """Of both scorers' embeddings of a sample of passages and training queries."""
    moments = Moments()
    for texts, role, positions in _samples(collection, seed):
        source, wanted = target.embed(texts, role, positions), anchor.embed(texts, role, positions)
        for start in range(0, len(positions), size):
            block = slice(start, start + size)
            moments.add(source.rows(block), wanted.rows(block))
    return moments


def _samples(collection: Collection, seed: int) -> Iterator[tuple[Texts, Role, IntArray]]:
    random = np.random.default_rng(seed)
    queries, passages = np.unique(training_queries(collection)), np.arange(len(collection.corpus), dtype=np.int64)
    yield collection.queries, "query", np.sort(random.permutation(queries)[:FITTED_FROM])
    yield collection.corpus, "document", np.sort(random.permutation(passages)[:FITTED_FROM])
