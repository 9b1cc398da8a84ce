"""Values typed by the fields they go to, whether they come from Python, from YAML or from a command line."""

from __future__ import annotations

import math
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping
from numbers import Integral, Real
from typing import Any, Union, get_args, get_origin

HOME = re.compile(r"^([\w-]+:)?(~(?=/|$))")
"""A path below the user's home, also behind a kind of scorer ("late-interaction:~/model")."""
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
MISFITS = (ValueError, OverflowError, KeyError)
"""What is raised where a value does not fit."""


def typed(value: Any, hint: Any, *, read: bool = False) -> Any:
    """The value as the type of a field.

    Args:
        value: Anything; numbers of numpy and paths become plain ones.
        hint: The field's type.
        read: Whether a text may stand for a number or a truth, and nothing for an empty list, as in files. One value
            stands for a list of one everywhere.

    Raises:
        ValueError, OverflowError, KeyError: If it does not fit.
    """
    kind, inner = _kind(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return _typed_union(value, inner, read)
    if kind is list:
        return [typed(one, inner[0] if inner else Any, read=read) for one in _listed(value, read)]
    if kind not in _READERS:
        return value
    accepted, read_text, _ = _READERS[kind]
    if not (accepted(value) or (read and read_text and isinstance(value, str))):
        raise ValueError(value)
    found = _CONVERTERS[kind](value)
    return float(found) if read and kind is float else found


def in_words(hint: Any) -> str:
    """What fits a field."""
    kind, inner = _kind(hint), get_args(hint)
    if kind in (Union, types.UnionType):
        return " or ".join(filter(None, map(in_words, inner)))
    if kind is list:
        return f"a list, each {in_words(inner[0])}"
    return _READERS[kind][2] if kind in _READERS else str(hint)


def _kind(hint: Any) -> Any:
    """``list`` for ``list[str]``, the type itself for a plain one."""
    return get_origin(hint) or hint


def _listed(value: Any, read: bool) -> list[Any]:
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping, os.PathLike)):
        return list(value)
    if value is None and not read:
        raise ValueError(value)
    return [] if value is None else [value]


def _typed_union(value: Any, members: tuple[Any, ...], read: bool) -> Any:
    """By the member that is the value's own type, else by the first that it fits."""
    for member in sorted(members, key=lambda one: _kind(one) is not type(value)):
        try:
            return typed(value, member, read=read)
        except MISFITS:
            continue
    raise ValueError(value)


def _finite(value: Any) -> float:
    """A float; a whole number stays one, so that it is written as it was given."""
    if not math.isfinite(number := float(value)):
        raise ValueError(value)
    return value if type(value) is int else number


def _truth(value: Any) -> bool:
    return TRUTH[value.lower()] if isinstance(value, str) else bool(value)


def _text(value: str | os.PathLike[str]) -> str:
    """The text, below the user's home where it begins so."""
    return HOME.sub(lambda found: (found[1] or "") + os.path.expanduser("~"), os.fspath(value))


def _is_truth(value: object) -> bool:
    return isinstance(value, bool) or type(value).__name__ == "bool"  # numpy's is called so too


_READERS: dict[Any, tuple[Callable[[Any], bool], bool, str]] = {
    int: (lambda value: isinstance(value, Integral) and not isinstance(value, bool), True, "a whole number"),
    float: (lambda value: isinstance(value, Real) and not isinstance(value, bool), True, "a finite number"),
    bool: (_is_truth, True, "true or false"),
    str: (lambda value: isinstance(value, (str, os.PathLike)), False, "a text"),
    dict: (lambda value: isinstance(value, Mapping), False, "a mapping"),
    type(None): (lambda value: value is None, False, ""),
}
"""By the type of a field: what fits, whether a text may stand for it, and how messages call it."""
_CONVERTERS: dict[Any, Callable[[Any], Any]] = {
    int: int, float: _finite, bool: _truth, str: _text, dict: dict, type(None): lambda value: value,
}  # fmt: skip
