"""Losses of a run that have levels, layers or heads, made from a student and its targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.filters import DynamicFilter
from st_mta.lookup import check_choice
from st_mta.losses.filtered_contrastive import CachedFilteredContrastiveLoss, FilteredContrastiveLoss
from st_mta.losses.handed_on import handing_on
from st_mta.losses.heads import HeadsLoss
from st_mta.losses.layers.lead import LayerDistillationLoss
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.multi_level import MultiLevelDistillationLoss
from st_mta.losses.similarity import resolve_similarity
from st_mta.losses.word_level.attention_mse import AttentionMSELoss
from st_mta.losses.word_level.hidden_state_mse import HiddenStateMSELoss
from st_mta.losses.word_level.loss import WordLevelLoss

Layers = str | list[list[int]]
Margins = float | list[float]
ATTENTION, HIDDEN_STATES = "attention", "hidden-states"

OF_SENTENCE = ("alpha", "scale", "regression_weight", "objective", "objective_options", "query_weights")
OF_LISTWISE = (*OF_SENTENCE, "contrastive_scale", "regression_terms", "regression_map", "return_components")
"""Parameters of the listwise loss: where it is one level of several, and where another loss stands around it."""
OF_FILTER = ("contrastive_scale", "relative_margin", "absolute_margin", "temperature")
"""Those of the filtered contrastive loss."""


def filtered_contrastive(
    student: SentenceTransformer,
    targets: Any,
    *,
    contrastive_scale: float | None = None,
    relative_margin: Margins = 0.0,
    absolute_margin: Margins = 0.0,
    temperature: float | None = None,
    mini_batch_size: int | None = None,
) -> FilteredContrastiveLoss:
    """``FilteredContrastiveLoss``; margins and temperature are those of its ``DynamicFilter``."""
    _, scale = resolve_similarity(student, None, contrastive_scale)
    rule = DynamicFilter(relative_margin, absolute_margin, temperature)
    if mini_batch_size is not None:
        return CachedFilteredContrastiveLoss(student, mini_batch_size=mini_batch_size, filter=rule, scale=scale)
    return FilteredContrastiveLoss(student, filter=rule, scale=scale)


def attention_mse(
    student: SentenceTransformer,
    targets: Any,
    *,
    teacher: Any,
    variant: str = "interaction",
    distance: str = "mse",
    layers: Layers = "last",
    num_candidates: int | None = 1,
    min_coverage: float = 0.5,
) -> AttentionMSELoss:
    """``AttentionMSELoss`` from a cross-encoder of the run."""
    words: dict[str, Any] = {"variant": variant, "distance": distance, "layers": layers}
    return AttentionMSELoss(
        student, teacher=teacher, num_candidates=num_candidates, min_coverage=min_coverage, **words
    )


def hidden_state_mse(
    student: SentenceTransformer,
    targets: Any,
    *,
    teacher: Any,
    projection: str = "auto",
    normalize: bool = True,
    filter_steps: int = 100,
    layers: Layers = "last",
    num_candidates: int | None = 1,
    min_coverage: float = 0.5,
) -> HiddenStateMSELoss:
    """``HiddenStateMSELoss`` from a cross-encoder or bi-encoder of the run."""
    words: dict[str, Any] = {"projection": projection, "layers": layers}
    return HiddenStateMSELoss(
        student,
        teacher=teacher,
        normalize=normalize,
        filter_steps=filter_steps,
        num_candidates=num_candidates,
        min_coverage=min_coverage,
        **words,
    )


@handing_on(ListwiseKLLoss, OF_LISTWISE)
def heads(
    student: SentenceTransformer,
    targets: Any,
    *,
    contrastive_weight: float = 1.0,
    heads_weight: float = 1.0,
    merged_weight: float = 1.0,
    **of_listwise: Any,
) -> HeadsLoss:
    """``HeadsLoss`` with a head for the teacher and for each assistant, around the listwise loss."""
    return HeadsLoss(
        student,
        num_heads=len(targets.temperatures),
        loss=ListwiseKLLoss(student, targets=targets, contrastive_weight=contrastive_weight, **of_listwise),
        targets=targets.each,
        heads_weight=heads_weight,
        merged_weight=merged_weight,
    )


@handing_on(ListwiseKLLoss, OF_LISTWISE)
def lead(
    student: SentenceTransformer,
    targets: Any,
    *,
    teacher: Any,
    contrastive_weight: float = 1.0,
    layer_weight: float = 1.0,
    num_layers: int | None = None,
    match: str = "sampled",
    teacher_scale: float | None = None,
    weight_temperature: float = 10.0,
    seed: int = 0,
    **of_listwise: Any,
) -> LayerDistillationLoss:
    """``LayerDistillationLoss`` from a cross-encoder or bi-encoder of the run, around the listwise loss."""
    words: dict[str, Any] = {"match": match}
    return LayerDistillationLoss(
        student,
        teacher=teacher,
        loss=ListwiseKLLoss(student, targets=targets, contrastive_weight=contrastive_weight, **of_listwise),
        layer_weight=layer_weight,
        num_layers=num_layers,
        teacher_scale=teacher_scale,
        weight_temperature=weight_temperature,
        seed=seed,
        **words,
    )


@handing_on(filtered_contrastive, OF_FILTER)
@handing_on(ListwiseKLLoss, OF_SENTENCE)
def multi_level(
    student: SentenceTransformer,
    targets: Any,
    *,
    teacher: Any,
    contrastive_weight: float = 1.0,
    return_components: bool = False,
    sentence_weight: float = 1.0,
    word_weight: float = 0.1,
    word: list[str] | None = None,
    divergence: str | None = None,
    variant: str = "interaction",
    distance: str = "kl",
    projection: str = "auto",
    normalize: bool = True,
    filter_steps: int = 100,
    layers: Layers = "last",
    num_candidates: int | None = 1,
    min_coverage: float = 0.5,
    balance_every: int = 0,
    **of_parts: Any,
) -> MultiLevelDistillationLoss:
    """``MultiLevelDistillationLoss``: filtered contrastive, listwise with the run's targets, and word by word.

    ``word`` names the word level, "attention" and "hidden-states" or one of them; by default the first from a
    cross-encoder and the second from a bi-encoder. The weight and the distance of the word level are the better ones
    on development queries (benchmarks/multilevel). ``regression_weight``, ``objective`` (formerly ``divergence``) and
    ``query_weights`` are those of the sentence level.
    """
    read: dict[str, Any] = {"layers": layers, "num_candidates": num_candidates, "min_coverage": min_coverage}
    parts: dict[str, Callable[[], WordLevelLoss]] = {
        ATTENTION: lambda: attention_mse(
            student, targets, teacher=teacher, variant=variant, distance=distance, **read
        ),
        HIDDEN_STATES: lambda: hidden_state_mse(
            student,
            targets,
            teacher=teacher,
            projection=projection,
            normalize=normalize,
            filter_steps=filter_steps,
            **read,
        ),
    }
    names = word if word is not None else [ATTENTION if isinstance(teacher, CrossEncoder) else HIDDEN_STATES]
    for name in names:
        check_choice("word", name, parts)
    of_filter = {name: of_parts.pop(name) for name in OF_FILTER if name in of_parts}
    return MultiLevelDistillationLoss(
        student,
        contrastive=filtered_contrastive(student, targets, **of_filter),
        sentence=ListwiseKLLoss(student, targets=targets, divergence=divergence, **of_parts),
        word={name: parts[name]() for name in names},
        contrastive_weight=contrastive_weight,
        sentence_weight=sentence_weight,
        word_weight=word_weight,
        balance_every=balance_every,
        return_components=return_components,
    )
