"""The student's similarities: which function, at which scale, in which precision."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.util import SimilarityFunction, cos_sim
from torch import Tensor

from st_mta.distributions import widen
from st_mta.errors import InputError

Similarity = Callable[[Tensor, Tensor], Tensor]
"""``(B, D), (U, D) -> (B, U)``."""


def resolve_similarity(
    model: SentenceTransformer, similarity_fct: Similarity | None, scale: float | None
) -> tuple[Similarity, float]:
    """The given function and scale, or the model's own function, and 20.0 for cosine and 1.0 otherwise.

    Raises:
        InputError: If the scale is not positive and finite, or the student has no embeddings.
    """
    if similarity_fct is None and isinstance(model, CrossEncoder):
        raise InputError(
            expected="a SentenceTransformer for a loss over embeddings",
            got="a CrossEncoder",
            remedy="use ListwiseRerankerLoss, which takes the same labels",
        )
    similarity_fct = similarity_fct or SimilarityFunction.to_similarity_fn(model.similarity_fn_name)
    scale = scale if scale is not None else 20.0 if similarity_fct is cos_sim else 1.0
    check_range("scale", scale, 0 < scale < math.inf, "positive")
    return similarity_fct, scale


def student_logits(queries: Tensor, documents: Tensor, similarity_fct: Similarity, scale: float) -> Tensor:
    """(B, U) scaled similarities in float32 or wider, also under autocast.

    Raises:
        InputError: If the function compares row by row.
    """
    with torch.autocast(queries.device.type, enabled=False):
        similarities = similarity_fct(widen(queries), widen(documents))
    if similarities.shape != (len(queries), len(documents)):
        raise InputError(
            expected=f"similarity_fct to return {(len(queries), len(documents))}, every query with every document",
            got=str(tuple(similarities.shape)),
            remedy="use a matrix function such as cos_sim or dot_score instead of a pairwise one",
        )
    return scale * similarities


def mean_over(values: Tensor, rows: Tensor, count: Tensor | None = None) -> Tensor:
    """Mean over the rows that count, (B, ...) -> (...); zero, but attached to the graph, if none does.

    Args:
        values: (B, ...), one per row.
        rows: (B,) bool, or weights.
        count: What the sum is divided by; default: the rows that count. See [`st_mta.losses.shares.mean_counts`].
    """
    weight = rows.to(values.dtype).reshape(-1, *[1] * (values.ndim - 1))
    return (values * weight).sum(dim=0) / (weight.sum().clamp(min=1) if count is None else count)


def check_range(name: str, value: float, fits: bool, words: str) -> None:
    """Raises ``InputError`` unless the argument fits."""
    if not fits:
        remedy = "use the default or a value in this range"
        raise InputError(expected=f"{name} to be {words} and finite", got=repr(value), remedy=remedy)
