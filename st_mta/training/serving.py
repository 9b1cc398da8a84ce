"""Quality and size of a student in other forms of serving than its own full-precision index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from st_mta.evaluation import evaluate_scorer
from st_mta.report.schema import ServingEntry
from st_mta.scorers.compressed import ServedScorer, mean_cosine
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.types import Collection, Scorer

LEAST_AGREEMENT = 0.5
"""Mean cosine from which two models are taken to share a space; unrelated models have about 0."""
SAMPLE = 1000
FORMS = ((1, "float32"), (2, "float32"), (4, "float32"), (1, "int8"), (1, "binary"))
"""(divisor of the dimension, precision) of the student's own index."""


def measure_serving(
    student: EmbeddingScorer, others: Sequence[Scorer], collection: Collection, split: str, depth: int
) -> list[ServingEntry]:
    """nDCG@10 of the student with cut and quantised passages, and with passages of models that share its space.

    Args:
        student: Encodes the queries.
        others: Teacher and assistants; those that are no bi-encoders of the student's dimension are skipped.
        collection: Texts and judgements.
        split: The judged split.
        depth: Passages retrieved per query.

    Returns:
        One entry per form; the student's own, uncompressed index comes first.
    """
    forms = {}
    for divisor, precision in FORMS:
        if student.dimension >= 8 * divisor:
            form = precision if divisor == 1 else f"first 1/{divisor} of the dimensions"
            forms[f"{student.name}, {form}"] = ServedScorer(student, student, student.dimension // divisor, precision)
    for other in sharing_space(student, others, collection):
        for precision in ("float32", "int8"):
            forms[f"passages by {other.name}, {precision}"] = ServedScorer(student, other, precision=precision)
    return [_entry(name, served, collection, split, depth) for name, served in forms.items()]


def measure_other_index(
    queries: EmbeddingScorer, passages: EmbeddingScorer, collection: Collection, split: str, depth: int
) -> list[ServingEntry]:
    """nDCG@10 of the student's queries, led into another model's space, in that model's own index."""
    return [measure_form(f"passages by {passages.name}, float32", queries, passages, collection, split, depth)]


def measure_form(
    name: str, queries: EmbeddingScorer, passages: EmbeddingScorer, collection: Collection, split: str, depth: int
) -> ServingEntry:
    """nDCG@10 of one model's queries in another's index, or in its own, uncompressed."""
    return _entry(name, ServedScorer(queries, passages), collection, split, depth)


def sharing_space(student: EmbeddingScorer, others: Sequence[Scorer], collection: Collection) -> list[EmbeddingScorer]:
    """The bi-encoders whose passages the student's queries can search."""
    every = np.arange(len(collection.corpus), dtype=np.int64)
    sample = np.sort(np.random.default_rng(0).permutation(every)[:SAMPLE])
    return [
        other
        for other in others
        if isinstance(other, EmbeddingScorer)
        and (other.dimension, other.similarity) == (student.dimension, student.similarity)
        and mean_cosine(student, other, collection.corpus, sample) >= LEAST_AGREEMENT
    ]


def _entry(name: str, served: ServedScorer, collection: Collection, split: str, depth: int) -> ServingEntry:
    measures = evaluate_scorer(served, collection, split, depth=depth)[1]
    return {
        "name": name,
        "queries": served.queries.name,
        "passages": served.passages.name,
        "dimension": served.kept,
        "precision": served.precision,
        "bytes_per_passage": served.bytes_per_passage,
        "ndcg@10": measures["ndcg@10"],
    }
