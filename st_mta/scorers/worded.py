"""Scorers named by a word and a colon, with options behind a "#": "pairwise:my_module:prefer#comparisons=8"."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from st_mta.errors import InputError
from st_mta.lookup import check_names, find_function
from st_mta.scorers.list_functions import OF_LISTS, OF_PREFERENCES, ListFunctionScorer, PairwiseFunctionScorer
from st_mta.typed import MISFITS, in_words, typed
from st_mta.types import Scorer

OPTIONS = re.compile(r"#(\w+=[^#]*)$")
OF_ANY: dict[str, Any] = {"name": str, "version": str, "part_size": int}

FUNCTIONS: dict[str, tuple[Callable[..., Scorer], tuple[str, ...], dict[str, Any]]] = {
    "list": (ListFunctionScorer, OF_LISTS, {**OF_ANY, "ordered": bool}),
    "pairwise": (
        PairwiseFunctionScorer,
        OF_PREFERENCES,
        {**OF_ANY, "comparisons": int, "both_orders": bool, "prior": float},
    ),
}
"""Words before a "module:function": what they make, what the function is called with, and the options it takes."""


def is_worded(spec: str) -> bool:
    """Whether a word of ``FUNCTIONS`` and a "module:function" name a scorer, or are meant to."""
    word, colon, rest = spec.partition(":")
    return bool(colon) and word in FUNCTIONS and (":" in rest or not Path(spec).exists())


def load_worded(spec: str, shared: Mapping[str, Any], changes: Mapping[str, Any]) -> Scorer:
    """The scorer that a word and a "module:function" name, called by all of that.

    Args:
        spec: As [`is_worded`] knows it.
        shared: What scorers that are loaded together have in common; ``store`` is read.
        changes: Options given beside it, which win over those behind the "#".

    Raises:
        InputError: If there is no such function, or an option is unknown or does not fit.
    """
    word, _, rest = spec.partition(":")
    kind, parameters, known = FUNCTIONS[word]
    place, options = named_options(rest, known)
    if ":" not in place:
        raise InputError(
            expected=f"a function behind '{word}:', as in {word}:my_module:my_function",
            got=repr(spec),
            remedy="name the module and, behind another colon, its function",
        )
    own = {name: value for name, value in changes.items() if name not in shared}
    check_names(f"{word}:", own, known)
    function: Callable[..., Any] = find_function(f"{word}:", place, {}, parameters=parameters)
    return kind(function, **{"name": f"{word}:{place}", **options, **own, "store": shared["store"]})


def named_options(spec: str, known: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What stands before "#name=value,name=value", and these options.

    Args:
        spec: With or without options; any other "#" belongs to what stands before.
        known: Name of each option that there is -> its type.

    Raises:
        InputError: If an option is unknown or does not fit its type.
    """
    found = OPTIONS.search(spec)
    if found is None:
        return spec, {}
    pairs = [part.partition("=") for part in found[1].split(",")]
    check_names(repr(spec), [name for name, _, _ in pairs], known)
    return spec[: found.start()], {name: _typed(spec, name, value, known[name]) for name, _, value in pairs}


def _typed(spec: str, name: str, value: str, kind: Any) -> Any:
    try:
        return typed(value, kind, read=True)
    except MISFITS as error:
        raise InputError(
            expected=f"{name} in {spec!r} to be {in_words(kind)}",
            got=repr(value),
            remedy=f"change {name}, or leave it out",
        ) from error
