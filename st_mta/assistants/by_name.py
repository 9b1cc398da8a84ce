"""Fusion rules and selection metrics by the words users write, their own functions as "module:function" among them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from st_mta.assistants.fusion import FUSION_WORDS, FUSIONS, Fusion, weighted_mean
from st_mta.assistants.selection import SELECTIONS, Metric
from st_mta.errors import InputError

Rule = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A `Fusion` or a `Metric`: they are told apart by what their arguments mean."""


def check_fusion(word: str) -> None:
    """Raises ``InputError`` unless the word is one of ``FUSION_WORDS`` or names a function (nothing is imported)."""
    _check_word("fusion", word, FUSION_WORDS)


def check_selection(word: str) -> None:
    """Raises ``InputError`` unless the word is one of ``SELECTIONS`` or names a function (nothing is imported)."""
    _check_word("selection", word, SELECTIONS)


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
        return _find("fusion", fusion, FUSIONS, FUSION_WORDS)
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
    return _find("selection", selection, SELECTIONS, SELECTIONS)


def word_of(option: str | Callable[..., Any]) -> str:
    """How an option is called in reports: the word itself, or the function's name."""
    return option if isinstance(option, str) else getattr(option, "__name__", type(option).__name__)


def _find(option: str, value: str | Rule, known: Mapping[str, Rule], words: Iterable[str]) -> Rule:
    if callable(value):
        return value
    _check_word(option, value, words)
    return known[value] if value in known else _load(option, value)


def _check_word(option: str, word: str, words: Iterable[str]) -> None:
    if word in words or (isinstance(word, str) and ":" in word):
        return
    raise InputError(
        expected=f"{option} to be one of {', '.join(words)} or a function (module:function)",
        got=repr(word),
        consequence="nothing would be done for it",
        remedy="choose one of these words, or name your own function",
    )


def _load(option: str, place: str) -> Rule:
    """Imports ``place``, a "module:function"."""
    module_name, _, function_name = place.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise _unusable(option, place, "which is no module:function", "write it like my_package.my_module:my_function")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        remedy = "correct the name, or install the module or put its folder on PYTHONPATH"
        raise _unusable(option, place, f"whose module cannot be imported ({error})", remedy) from error
    if not hasattr(module, function_name):
        raise _unusable(option, place, f"but {module.__file__} has no {function_name!r}", "correct the name")
    function = getattr(module, function_name)
    if not callable(function):
        raise _unusable(option, place, f"which is a {type(function).__name__} and cannot be called", "name a function")
    return function  # type: ignore[no-any-return]


def _unusable(option: str, place: str, what: str, remedy: str) -> InputError:
    return InputError(
        expected=f"{option} to name a function",
        got=f"{place!r}, {what}",
        consequence="nobody would know what to call",
        remedy=remedy,
    )
