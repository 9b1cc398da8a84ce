"""What tells a user's function from another one, for fingerprints."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np
import torch

from st_mta.scorers.held_objects import Read, globals_of, object_as_values, slots_of
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.stores.peculiarities import described

DEEPEST = 8


def identity_of(function: Any, call: Callable[[], Any] = lambda: None) -> str:
    """Digest of a function's name, source and the values that it holds, and of its output on a probe.

    The output tells apart what hides the rest: objects of a compiled library, functions that call others.

    Args:
        function: A function, or an object that works like one.
        call: Calls it on the probe; without it only the function itself counts.
    """
    plain = partial(_plain, path=())
    return fingerprint_values(_name(function), _source(function), plain(_held(function)), plain(call()))


def identity_without_calling(function: Any) -> str:
    """As [`identity_of`] without a probe, for a function that is not to be called: what it holds says all.

    The attributes of the objects that it holds count too, and the values that it names of its module.

    Raises:
        InputError: If it holds an object of a library, which hides what it computes.
    """
    plain = partial(_plain, path=(), objects=object_as_values)
    owner = getattr(function, "__self__", function)
    more = [plain(found) for found in (slots_of(owner), globals_of(function)) if found]
    return fingerprint_values(_name(function), _source(function), plain(_held(function)), None, *more)


def _name(function: Any) -> str:
    function = function.func if isinstance(function, partial) else function
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"{getattr(named, '__module__', '')}.{named.__qualname__}"


def _source(function: Any) -> Any:
    function = function.func if isinstance(function, partial) else function
    if not (hasattr(function, "__code__") or isinstance(function, (MethodType, type))):
        function = type(function)
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        return None if code is None else _code(code)


def _code(code: CodeType) -> list[Any]:
    inner = [_code(value) if isinstance(value, CodeType) else repr(value) for value in code.co_consts]
    return [code.co_code.hex(), code.co_names, inner]


def _held(function: Any) -> list[Any]:
    """Fixed arguments, defaults, what a closure holds, and the attributes of an object."""
    if isinstance(function, partial):
        return [function.args, function.keywords, _held(function.func)]
    owner = getattr(function, "__self__", None)
    closure = [_content(cell) for cell in getattr(function, "__closure__", None) or ()]
    return [
        getattr(function, "__defaults__", None),
        getattr(function, "__kwdefaults__", None),
        closure,
        getattr(function, "__dict__", None),
        getattr(owner, "__dict__", None) if not inspect.ismodule(owner) else None,
    ]


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that nothing was assigned to yet
        return None


def _by_type(value: Any, _: Read) -> Any:
    return type(value).__qualname__


def _plain(value: Any, path: tuple[int, ...], objects: Callable[[Any, Read], Any] = _by_type) -> Any:
    """Nested JSON values, arrays by their bytes, functions by their sources, and objects as they are read.

    Args:
        value: The value.
        path: Identities of what it lies in.
        objects: Reads any other object, given what reads the values in it; by default by its type alone.
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if len(path) > DEEPEST:
        return type(value).__qualname__
    plain = partial(_plain, path=(*path, id(value)), objects=objects)
    if isinstance(value, dict):
        return sorted([str(key), plain(inner)] for key, inner in value.items() if _orderly(key))
    if isinstance(value, (set, frozenset)):
        return sorted(str(plain(inner)) for inner in value)
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return described(value)
    if isinstance(value, (FunctionType, MethodType, partial)):
        return [_name(value), _source(value), plain(_held(value))]
    return _by_type(value, plain) if id(value) in path else objects(value, plain)


def _orderly(key: Any) -> bool:
    return isinstance(key, (str, int, float, bool))
