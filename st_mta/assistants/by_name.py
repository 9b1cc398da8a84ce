"""Fusion rules and selection metrics by the words users write, their own functions as "module:function" among them."""

from __future__ import annotations

from collections.abc import Sequence

from st_mta.assistants.fusion import FUSION_WORDS, FUSIONS, Fusion, weighted_mean
from st_mta.assistants.selection import SELECTIONS, Metric
from st_mta.errors import InputError
from st_mta.lookup import check_choice, find_function


def check_fusion(word: str) -> None:
    """Raises ``InputError`` unless the word is one of ``FUSION_WORDS`` or names a function (nothing is imported)."""
    check_choice("fusion", word, FUSION_WORDS, own=True)


def check_selection(word: str) -> None:
    """Raises ``InputError`` unless the word is one of ``SELECTIONS`` or names a function (nothing is imported)."""
    check_choice("selection", word, SELECTIONS, own=True)


def find_fusion(fusion: str | Fusion, num_assistants: int, weights: Sequence[float] | None = None) -> Fusion:
    """The rule behind a word.

    Args:
        fusion: "mean", "rrf", "weighted", "module:function" or a function.
        num_assistants: A.
        weights: A weights; for "weighted" only.

    Raises:
        InputError: If there is no such rule, or weights are missing, too many, or not asked for.
    """
    if fusion != "weighted" and weights is None:
        return find_function("fusion", fusion, FUSIONS, FUSION_WORDS)
    if fusion == "weighted" and weights is not None and len(weights) == num_assistants:
        return weighted_mean(weights)
    raise InputError(
        expected=f"{num_assistants} weights (one per assistant) for fusion 'weighted', and none for any other",
        got=f"weights {None if weights is None else list(weights)} for fusion {fusion!r}",
        consequence="assistants would be weighted otherwise than you meant",
        remedy="fit them with fit_weights, or leave them out",
    )


def find_selection(selection: str | Metric) -> Metric:
    """The metric behind "kl", "footrule", "rbo" or "module:function"; a function is given back.

    Raises:
        InputError: If there is no such metric.
    """
    return find_function("selection", selection, SELECTIONS)
