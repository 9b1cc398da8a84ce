"""The options of a loss, as users give them beside its name: found in its signature, checked and typed."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any, get_type_hints

from st_mta.errors import InputError
from st_mta.lookup import word_of
from st_mta.typed import MISFITS, in_words, typed

TEACHER = "teacher"
"""Keyword parameter of a loss that reads the layers of a model of the run."""
READER = "reader"
"""What users call it by: the name of a scorer of the run, the teacher's by default."""


def options_beyond(function: Callable[..., Any], known: Collection[str]) -> tuple[dict[str, Any], bool]:
    """A factory's keyword parameters beside those that a run gives by itself.

    Args:
        function: ``(student, targets, *, ...)``.
        known: Those that a run gives.

    Returns:
        Name -> type (``Any`` where it is not stated), with ``reader`` for a function that takes a ``teacher``; and
        whether it does.
    """
    try:
        parameters = inspect.signature(function).parameters.values()
        hints = get_type_hints(function)
    except (ValueError, TypeError, NameError):  # in C, or with types that are not there
        return {}, False
    keywords = [one for one in parameters if one.kind is one.KEYWORD_ONLY]
    reads = any(one.name == TEACHER and one.default is one.empty for one in keywords)
    hidden = {*known, *([TEACHER] if reads else [])}
    options = {one.name: hints.get(one.name, Any) for one in keywords if one.name not in hidden}
    return options | ({READER: str | None} if reads else {}), reads


def typed_loss_options(
    loss: str | Callable[..., Any], options: Mapping[str, Any], given: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What a user gives, by the names and types of a loss.

    Raises:
        InputError: If a name is none of them, or a value does not fit.
    """
    hint = "alpha, scale and the weights of the contrastive and regression terms are options of the run itself"
    return typed_options("loss_options of loss", loss, options, given, hint=hint)


def typed_options(
    what: str,
    owner: str | Callable[..., Any],
    options: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    *,
    hint: str = "",
) -> dict[str, Any]:
    """What a user gives, by the names and types of a function's options.

    Args:
        what: How messages call them, such as "loss_options of loss".
        owner: Whose options they are.
        options: Name -> type.
        given: Name -> value; dashes in names are underscores.
        hint: What messages say of a name that is like none of them.

    Raises:
        InputError: If a name is none of them, or a value does not fit.
    """
    found = {}
    for key, value in (given or {}).items():
        name = str(key).replace("-", "_")
        if name not in options:
            _refuse_unknown(what, owner, key, options, hint)
        try:
            found[name] = typed(value, options[name], read=True)
        except MISFITS as error:
            raise InputError(
                expected=f"{in_words(options[name])} for {name} in {what.partition(' ')[0]}",
                got=repr(value),
                remedy="correct the value",
            ) from error
    return found


def _refuse_unknown(
    what: str, owner: str | Callable[..., Any], name: str, options: Mapping[str, Any], hint: str
) -> None:
    near = difflib.get_close_matches(str(name).replace("-", "_"), options, n=1)
    several, _, kind = what.partition(" of ")
    there = f"{what} {word_of(owner)!r}: {', '.join(sorted(options))}"
    raise InputError(
        expected=there if options else f"no {several}, since {kind} {word_of(owner)!r} has none",
        got=repr(name),
        remedy=f"write {near[0]!r} instead" if near else "; ".join(filter(None, ["correct the name", hint])),
    )
