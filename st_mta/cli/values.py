"""Values of a YAML file or a command line, typed by the dataclass fields they go to."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
import types
from collections.abc import Callable, Collection, Mapping
from dataclasses import Field, fields
from typing import Any, Union, get_args, get_origin, get_type_hints

from st_mta.errors import InputError

HOME = re.compile(r"^([\w-]+:)?(~(?=/|$))")
"""A path below the user's home, also behind a kind of scorer ("late-interaction:~/model")."""
TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


def options_of(config_class: type[Any]) -> list[Field[Any]]:
    """The fields that can be given."""
    return [field for field in fields(config_class) if field.init]


def aliases_of(field: Field[Any]) -> list[str]:
    """Other names of a field, as a Python name would be written."""
    given = field.metadata.get("aliases", ())
    return [as_name(alias) for alias in ([given] if isinstance(given, str) else given)]


def as_name(key: object) -> str:
    """The name of the field that a flag or key means: "--batch-size" is "batch_size"."""
    return str(key).lstrip("-").replace("-", "_")


def typed_options(config_class: type[Any], given: Mapping[Any, Any], place: str) -> dict[str, Any]:
    """The options by the names of their fields, with the types of these.

    Args:
        config_class: The dataclass that they go to.
        given: Values by name, alias or flag.
        place: Where they stand, for messages: the file, or "the command line".

    Raises:
        InputError: If a name is unknown or stands twice, or a value does not fit its field.
    """
    hints = get_type_hints(config_class)
    known = {name: field for field in options_of(config_class) for name in (field.name, *aliases_of(field))}
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = as_name(key)
        if name not in known:
            raise _unknown(name, known, place)
        field = known[name]
        if field.name in found:
            raise InputError(
                expected=f"every option of {place} once", got=f"{field.name} twice", remedy="remove one of them"
            )
        found[field.name] = _typed_option(field, hints[field.name], value, f"{key} in {place}")
    return found


def _typed_option(field: Field[Any], hint: Any, value: Any, where: str) -> Any:
    if (section := field.metadata.get("section")) is not None:
        return None if value is None else typed_options(section, _mapping(value, where), where)
    try:
        found = typed(value, hint)
    except (ValueError, OverflowError) as error:
        quotes = "" if isinstance(value, (str, list, dict)) else ", in quotes if it is a text"
        raise InputError(
            expected=f"{in_words(hint)} for {where}", got=repr(value), remedy=f"correct the value{quotes}"
        ) from error
    choices = field.metadata.get("choices")
    for one in found if isinstance(found, list) else [found]:
        if choices is not None and one is not None and one not in choices:
            allowed = ", ".join(str(choice) for choice in choices if choice is not None)
            raise InputError(
                expected=f"one of {allowed} for {where}", got=repr(one), remedy=f"write {_near(one, choices)}"
            )
    return found


def _mapping(value: Any, where: str) -> dict[Any, Any]:
    """A section of the YAML file, or JSON from the command line."""
    try:
        parsed = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        parsed = None
    if isinstance(parsed, dict):
        return parsed
    raise InputError(
        expected=f'{where} as JSON, such as {{"warmup_steps": 10}}, or as a section of the YAML file',
        got=repr(value),
        remedy="correct it",
    )


def _unknown(name: str, known: Collection[str], place: str) -> InputError:
    return InputError(
        expected=f"options of this command in {place}",
        got=f"unknown {name!r}",
        consequence="it would be ignored",
        remedy=f"write {_near(name, known)}",
    )


def _near(name: object, known: Collection[Any]) -> str:
    names = [str(one) for one in known if one is not None]
    near = difflib.get_close_matches(str(name), names, n=1)
    return f"{near[0]!r} instead" if near else f"one of {', '.join(sorted(names))}"


def typed(value: Any, hint: Any) -> Any:
    """The value as the type of a field; a text is read as the command line gives it.

    Raises:
        ValueError: If it does not fit.
    """
    origin: Any = get_origin(hint)
    inner = get_args(hint)
    if origin in (Union, types.UnionType):
        return _typed_union(value, inner)
    if (origin or hint) is list:
        values = [] if value is None else value if isinstance(value, (list, tuple)) else [value]
        return [typed(one, inner[0] if inner else Any) for one in values]
    if (origin or hint) is dict:
        return _fit(value, isinstance(value, dict))
    return _READERS.get(hint, lambda value: value)(value)


def _typed_union(value: Any, members: tuple[Any, ...]) -> Any:
    """By the member that is the value's own type, else by the first that it fits, texts last."""
    if value is None and type(None) in members:
        return None

    def distance(member: Any) -> tuple[bool, bool]:
        kind: Any = get_origin(member)
        return (kind or member) is not type(value), member is str

    for member in sorted(members, key=distance):
        try:
            return typed(value, member)
        except (ValueError, OverflowError):
            continue
    raise ValueError(value)


def _fit(value: Any, fits: bool) -> Any:
    if not fits:
        raise ValueError(value)
    return value


def _whole(value: Any) -> int:
    return int(_fit(value, isinstance(value, (int, str)) and not isinstance(value, bool)))


def _number(value: Any) -> float:
    number = float(_fit(value, isinstance(value, (int, float, str)) and not isinstance(value, bool)))
    return float(_fit(number, math.isfinite(number)))


def _truth(value: Any) -> bool:
    if isinstance(value, str):
        return TRUTH[_fit(value.lower(), value.lower() in TRUTH)]
    return bool(_fit(value, isinstance(value, bool)))


def _text(value: Any) -> str:
    text = str(_fit(value, isinstance(value, str)))
    return HOME.sub(lambda found: (found[1] or "") + os.path.expanduser("~"), text)


_READERS: dict[Any, Callable[[Any], Any]] = {
    int: _whole,
    float: _number,
    bool: _truth,
    str: _text,
    type(None): lambda value: _fit(value, value is None),
}
_WORDS = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", dict: "a mapping"}


def in_words(hint: Any) -> str:
    """What fits a field."""
    members = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    plain = [get_origin(member) or member for member in members if member is not type(None)]
    lists = [f"a list, each {in_words(get_args(member)[0])}" for member in members if get_origin(member) is list]
    return " or ".join([_WORDS[one] for one in plain if one in _WORDS] + lists) or str(hint)
