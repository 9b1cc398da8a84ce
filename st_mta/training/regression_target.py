"""What the student's embeddings are regressed to: bi-encoders that were chosen, in the student's space."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from st_mta.atomic import atomic_path
from st_mta.lookup import check_choice
from st_mta.losses.embedding.spaces import PROCRUSTES
from st_mta.procrustes import Moments, share_explained, unit
from st_mta.run.results import RegressionTarget
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.joined import JoinedScorer
from st_mta.stores.embeddings import Role
from st_mta.training.curriculum import training_queries
from st_mta.training.regression_weights import CHOOSERS, SCHEDULED, SELECTED, best_of
from st_mta.training.serving import sharing_space
from st_mta.types import Collection, FloatArray, IntArray, Scorer, Texts

MATRIX, START, EACH = "matrix", "start", "each"
"""Names in the file of the map: the map itself, that with which a warm-up begins, and one for each bi-encoder."""
FITTED_FROM = 20_000
"""Texts of each role at most from which a map is fitted: several times the widths that are usual."""


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

    Raises:
        InputError: If the word is unknown, an embedding is not finite, or the disk is full.
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
    matrices = _matrices(moments, [scorer.dimension for scorer in kept], found.weights, best_of(kept, quality), choose)
    with atomic_path(path) as temporary:
        save_file({name: np.ascontiguousarray(matrix) for name, matrix in matrices.items()}, temporary)
    return replace(
        found,
        aligned_to=anchor.name,
        explained=share_explained(moments, matrices[MATRIX]),
        map_file=path.name,
    )


def _matrices(
    moments: Moments, widths: Sequence[int], weights: Sequence[float], leader: int, choose: str
) -> dict[str, FloatArray]:
    """The map of all bi-encoders together, (D, d); those of each where one of them is taken at a time."""
    if choose not in (SCHEDULED, SELECTED):
        return {MATRIX: moments.procrustes()}
    ends = np.cumsum([0, *widths])
    blocks = [slice(start, end) for start, end in zip(ends, ends[1:])]
    maps = [moments.of(block).procrustes() for block in blocks]
    each = np.zeros((len(maps), *moments.cross.shape), dtype=np.float32)
    for place, (block, matrix, weight) in enumerate(zip(blocks, maps, weights)):
        each[place, block] = matrix / np.sqrt(weight)  # side by side, its rows are as much shorter
    if choose == SELECTED:
        return {MATRIX: each[leader], EACH: each}
    agreement = [(each[place] * moments.cross).sum() for place in range(len(maps))]
    return {MATRIX: moments.procrustes(), START: each[int(np.argmax(agreement))]}


def joined_target(
    parts: Sequence[EmbeddingScorer], weights: Sequence[float], matrix: FloatArray | None
) -> EmbeddingScorer:
    """The bi-encoders as one; a single one without a map is itself."""
    if len(parts) == 1 and matrix is None:
        return parts[0]
    name = "+".join(part.name for part in parts) + ("" if matrix is None else ", mapped")
    return JoinedScorer(parts, None if len(parts) == 1 else weights, matrix, name)


def load_target(
    found: RegressionTarget, scorers: Sequence[Scorer], folder: Path, *, mapped: bool = True
) -> EmbeddingScorer:
    """The scorer that a target chosen before means, in the student's space unless the map to it is trained.

    Args:
        found: As [`choose_target`] gave it.
        scorers: The pool, in which its bi-encoders are.
        folder: Where its map is.
        mapped: False for the bi-encoders side by side as they are, for a loss that maps them.
    """
    by_name = {scorer.name: scorer for scorer in scorers if isinstance(scorer, EmbeddingScorer)}
    fixed = mapped and found.map_file is not None and found.kind == PROCRUSTES
    matrix = load_matrices(found, folder)[MATRIX] if fixed else None
    return joined_target([by_name[name] for name in found.bi_encoders], found.weights, matrix)


def load_matrices(found: RegressionTarget, folder: Path) -> dict[str, FloatArray]:
    """What [`choose_target`] wrote: ``MATRIX`` (D, d), and ``START`` (D, d) or ``EACH`` (K, D, d) where needed."""
    return {name: np.asarray(matrix) for name, matrix in load_file(folder / str(found.map_file)).items()}


def _moments(
    target: EmbeddingScorer, anchor: EmbeddingScorer, collection: Collection, seed: int, size: int = 2**12
) -> Moments:
    """Of both scorers' embeddings of a sample of passages and training queries."""
    moments = Moments()
    for texts, role, positions in _samples(collection, seed):
        source, wanted = target.embed(texts, role, positions), anchor.embed(texts, role, positions)
        for start in range(0, len(positions), size):
            block = slice(start, start + size)
            moments.add(unit(source.rows(block)), unit(wanted.rows(block)))
    return moments


def _samples(collection: Collection, seed: int) -> Iterator[tuple[Texts, Role, IntArray]]:
    random = np.random.default_rng(seed)
    queries, passages = np.unique(training_queries(collection)), np.arange(len(collection.corpus), dtype=np.int64)
    yield collection.queries, "query", np.sort(random.permutation(queries)[:FITTED_FROM])
    yield collection.corpus, "document", np.sort(random.permutation(passages)[:FITTED_FROM])
