"""What an object that a user's function holds, or a global that it names, adds to the function's identity."""

from __future__ import annotations

import datetime
import logging
import re
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import is_dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType, SimpleNamespace
from typing import Any
from uuid import UUID

import numpy as np
import torch
from torch import nn

from st_mta.errors import InputError
from st_mta.stores import Store, fingerprint_model
from st_mta.types import Scorer

WRITTEN_OUT = (
    *(bytes, bytearray, complex, range, slice, PurePath, Decimal, Fraction, UUID, np.generic, np.dtype, torch.dtype),
    *(torch.device, datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo),
)
"""Values whose ``repr`` says all."""
WITHOUT_A_SAY = (
    *(type(threading.Lock()), type(threading.RLock()), threading.Event, threading.Condition, threading.Semaphore),
    *(threading.local, logging.Logger, Executor, Store),
)
"""Kinds that decide when and where something is computed, not what."""

Read = Callable[[Any], Any]


def slots_of(value: Any) -> dict[str, Any]:
    """The attributes in ``__slots__``, of all classes of an object, that are set."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__ if _is_own(type(value)) else ():
        slots = vars(kind).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            mangled = f"_{kind.__name__.lstrip('_')}{name}" if name.startswith("__") and name[-2:] != "__" else name
            if name not in ("__dict__", "__weakref__") and hasattr(value, mangled):
                found[mangled] = getattr(value, mangled)
    return found


def globals_of(function: Any) -> dict[str, Any]:
    """What a function, or the methods of an object, name of their modules' plain values and objects."""
    found: dict[str, Any] = {}
    for one in _functions(function):
        names = sorted(set(_names(one.__code__)) & set(one.__globals__))
        found |= {f"{one.__module__}.{name}": one.__globals__[name] for name in names}
    return {name: value for name, value in found.items() if _is_plain(value) or _has_state(value)}


def object_as_values(value: Any, read: Read) -> Any:
    """An object as JSON: values by what they say, models by their digest, the user's own by source and attributes.

    Args:
        value: Neither a number, a text, an array, a function nor a list, set or dictionary.
        read: Reads what it holds.

    Raises:
        InputError: If it is an object of a library, whose attributes say nothing sure about what it computes.
    """
    name = _name(type(value))
    for kinds, described in _READERS:
        if isinstance(value, kinds):
            return described(value, read)
    if callable(value) and hasattr(value, "__wrapped__"):  # a cache around a function
        return [name, read(value.__wrapped__)]
    if _has_state(value):
        return [name, read(list(_methods(type(value)))), read({**slots_of(value), **getattr(value, "__dict__", {})})]
    raise InputError(
        expected="a function that holds plain values, arrays, models and objects of your own classes, or one whose "
        "version is given",
        got=f"one that holds a {name}, of which only the kind can be told",
        consequence="another function, with other settings in there, would be given its stored scores",
        remedy="say in a word what the scores depend on and change it with them: FunctionScorer(function, "
        'version="rerank-3.5"), {"model": function, "version": "rerank-3.5"}, or an attribute `version` of it',
    )


def _has_state(value: Any) -> bool:
    """Whether it is an object whose attributes are all that it has."""
    kind = type(value)
    plain = isinstance(value, SimpleNamespace) or is_dataclass(kind)
    if isinstance(value, (type, FunctionType, ModuleType, BuiltinFunctionType, Enum, Scorer, nn.Module)):
        return False
    return plain or (_is_own(kind) and not isinstance(value, WITHOUT_A_SAY))


def _is_own(kind: type) -> bool:
    """Whether a class is of the user's code, neither of Python nor installed."""
    package = kind.__module__.partition(".")[0]
    if package in sys.stdlib_module_names or package == "st_mta":
        return False
    file = getattr(sys.modules.get(kind.__module__), "__file__", None)
    return file is None or not {"site-packages", "dist-packages"} & set(Path(file).parts)


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return value is None or isinstance(value, (bool, int, float, str, Enum, np.ndarray, torch.Tensor, *WRITTEN_OUT))


def _functions(function: Any) -> Iterator[FunctionType]:
    """The function itself, that of a method or a partial, or the methods of an object's own classes."""
    while hasattr(function, "func"):
        function = function.func
    function = getattr(function, "__wrapped__", function)
    owner = getattr(function, "__self__", None)
    function = getattr(function, "__func__", function)
    if isinstance(function, FunctionType):
        yield function
    if not isinstance(function, (FunctionType, BuiltinFunctionType)) or owner is not None:
        yield from _methods(type(function if owner is None else owner))


def _methods(kind: type) -> Iterator[FunctionType]:
    """Functions written in a class of the user's and in those that it comes from."""
    for one in kind.__mro__:
        if _is_own(one):
            for method in vars(one).values():
                method = getattr(method, "fget", None) or getattr(method, "__func__", method)
                if isinstance(method, FunctionType) and method.__module__ == one.__module__:
                    yield method


def _names(code: CodeType) -> Iterator[str]:
    """Global names and attributes that code reads, that of functions within it too."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _builtin(value: BuiltinFunctionType, read: Read) -> Any:
    owner = value.__self__
    return [value.__qualname__, None if owner is None or isinstance(owner, ModuleType) else read(owner)]


_READERS: list[tuple[Any, Callable[[Any, Read], Any]]] = [
    (WRITTEN_OUT, lambda value, _: [_name(type(value)), repr(value)]),
    (re.Pattern, lambda value, read: [_name(type(value)), read(value.pattern), value.flags]),
    (Enum, lambda value, read: [_name(type(value)), value.name, read(value.value)]),
    (deque, lambda value, read: read(list(value))),
    (ModuleType, lambda value, _: value.__name__),
    (type, lambda value, _: _name(value)),
    (BuiltinFunctionType, _builtin),
    (WITHOUT_A_SAY, lambda value, _: _name(type(value))),
    (Scorer, lambda value, _: [_name(type(value)), value.fingerprint]),
    (nn.Module, lambda value, _: [_name(type(value)), fingerprint_model(value)]),
]
"""How objects of a kind are told apart, the first that fits."""
