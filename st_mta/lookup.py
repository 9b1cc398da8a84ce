"""Functions by the words users write, their own as "module:function" among them."""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from st_mta.errors import InputError

Function = TypeVar("Function", bound=Callable[..., Any])


def check_choice(option: str, word: object, words: Iterable[str], *, own: bool = False) -> None:
    """Raises ``InputError`` unless the word is one of these, or with ``own`` a "module:function" (not imported)."""
    words = list(words)
    if word in words or (own and isinstance(word, str) and ":" in word):
        return
    raise InputError(
        expected=f"{option} to be one of {', '.join(words)}{' or a function (module:function)' if own else ''}",
        got=repr(word),
        remedy=f"choose one of these words{', or name your own function' if own else ''}",
    )


def check_names(what: str, given: Iterable[object], known: Iterable[str]) -> None:
    """Raises ``InputError`` for the first of these names that is not known, with the one that it is nearest to."""
    known = list(known)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name).replace("-", "_"), known, n=1)
            raise InputError(
                expected=f"options of {what}: {', '.join(known)}",
                got=repr(name),
                consequence="it would be ignored",
                remedy=f"did you mean {near[0]!r}?" if near else "leave it out",
            )


def spelled(word: Any, known: Iterable[str]) -> Any:
    """A word as the list has it: with dashes, where it was written with underscores; anything else as it is."""
    dashed = word.replace("_", "-") if isinstance(word, str) else word
    return dashed if word not in (known := list(known)) and dashed in known else word


def find_function(
    option: str,
    value: str | Function,
    known: Mapping[str, Function],
    words: Iterable[str] | None = None,
    *,
    parameters: Sequence[str] = (),
) -> Function:
    """The function behind a word or a "module:function"; a function is returned as it is.

    Args:
        option: What is looked for, for messages.
        value: The word or function.
        known: Functions by their words.
        words: The words to name in messages; those of ``known`` by default.
        parameters: What it will be called with, by position; a function that cannot take as much is refused here,
            without being called.

    Raises:
        InputError: If there is no such function.
    """
    if not callable(value):
        word: str = spelled(value, known)
        check_choice(option, word, known if words is None else words, own=True)
        if word in known:
            return known[word]
    function: Function = value if callable(value) else _load(option, value)
    if parameters:
        _check_signature(option, function, parameters)
    return function


def _check_signature(option: str, function: Callable[..., Any], parameters: Sequence[str]) -> None:
    try:
        inspect.signature(function).bind(*parameters)
    except TypeError as error:
        raise InputError(
            expected=f"{option} to be a function of ({', '.join(parameters)})",
            got=f"{word_of(function)!r}, which cannot be called so ({error})",
            remedy="name a function that takes these arguments, and give all others of it a default",
        ) from error
    except ValueError:  # functions written in C need not say what they take
        return


def import_extra(module: str, expected: str, remedy: str) -> Any:
    """A module that not every installation has; raises ``InputError`` with the remedy where it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise InputError(expected=expected, got=f"an environment without it ({error})", remedy=remedy) from error


def word_of(option: str | Callable[..., Any]) -> str:
    """How an option is called in reports: the word itself, or the function's name."""
    return option if isinstance(option, str) else getattr(option, "__name__", type(option).__name__)


def _load(option: str, place: str) -> Any:
    """Imports ``place``, a "module:function": code of whoever wrote the name runs here."""
    module_name, _, function_name = place.partition(":")
    if not all(part.isidentifier() for part in [*module_name.split("."), function_name]):
        raise _unusable(option, place, "which is no module:function", "write it like my_package.my_module:my_function")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # the user's module may raise anything
        remedy = "correct the name, or install the module or put its folder on PYTHONPATH"
        what = f"whose module cannot be imported ({type(error).__name__}: {error})"
        raise _unusable(option, place, what, remedy) from error
    if not hasattr(module, function_name):
        raise _unusable(
            option,
            place,
            f"but {getattr(module, '__file__', module_name)} has no {function_name!r}",
            "correct the name",
        )
    function = getattr(module, function_name)
    if not callable(function):
        raise _unusable(option, place, f"which is a {type(function).__name__} and cannot be called", "name a function")
    return function


def _unusable(option: str, place: str, what: str, remedy: str) -> InputError:
    return InputError(expected=f"{option} to name a function", got=f"{place!r}, {what}", remedy=remedy)
