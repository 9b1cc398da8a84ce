"""Values of a YAML file or a command line, typed by the dataclass fields they go to."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping
from dataclasses import Field, fields
from typing import Any, get_args, get_origin, get_type_hints

from st_mta.errors import InputError
from st_mta.typed import MISFITS, in_words, typed

NONE = "none"
"""What is written for None, which turns off what a file or recipe turns on."""


def options_of(config_class: type[Any]) -> list[Field[Any]]:
    """The fields that can be given."""
    return [field for field in fields(config_class) if field.init and field.metadata.get("given", True)]


def choices_of(field: Field[Any]) -> list[Any]:
    """The values allowed, as they are written; none where they are not listed."""
    return [NONE if choice is None else choice for choice in field.metadata.get("choices") or ()]


def aliases_of(field: Field[Any]) -> list[str]:
    """Other names of a field, as a Python name would be written."""
    return [as_name(alias) for alias in field.metadata.get("aliases", ())]


def as_name(key: object) -> str:
    """The name of the field that a flag or key means: "--batch-size" is "batch_size"."""
    return str(key).lstrip("-").replace("-", "_")


def typed_options(config_class: type[Any], given: Mapping[Any, Any], place: str) -> dict[str, Any]:
    """The options of a file or command line, by the names of the dataclass's fields and with their types.

    Raises:
        InputError: If a name is unknown or stands twice, or a value does not fit its field.
    """
    hints = get_type_hints(config_class)
    known = {name: field for field in options_of(config_class) for name in (field.name, *aliases_of(field))}
    found: dict[str, Any] = {}
    for key, value in given.items():
        name = as_name(key)
        if name not in known:
            raise InputError(
                expected=f"options of this command in {place}",
                got=f"unknown {name!r}",
                remedy=f"write {_near(name, known)}",
            )
        field = known[name]
        if field.name in found:
            raise InputError(
                expected=f"every option of {place} once", got=f"{field.name} twice", remedy="remove one of them"
            )
        found[field.name] = _typed_option(field, hints[field.name], value, f"{key} in {place}")
    return found


def _typed_option(field: Field[Any], hint: Any, value: Any, where: str) -> Any:
    if value in (NONE, [NONE]) and _none_is_nothing(field, hint):
        return None
    if (section := field.metadata.get("section")) is not None:
        return None if value is None else typed_options(section, _mapping(value, where), where)
    if dict in (get_origin(kind) or kind for kind in (hint, *get_args(hint))) and value is not None:
        value = _mapping(value, where)
    try:
        found = typed(value, hint, read=True)
    except MISFITS as error:
        quotes = "" if isinstance(value, (str, list, dict)) else ", in quotes if it is a text"
        or_none = f" or {NONE}" if _none_is_nothing(field, hint) else ""
        raise InputError(
            expected=f"{in_words(hint)}{or_none} for {where}",
            got=repr(value),
            remedy=f"correct the value{quotes}",
        ) from error
    choices = choices_of(field)
    for one in found if isinstance(found, list) else [found]:
        if choices and one is not None and one not in choices:
            raise InputError(
                expected=f"one of {', '.join(map(str, choices))} for {where}",
                got=repr(one),
                remedy=f"write {_near(one, choices)}",
            )
    return found


def _none_is_nothing(field: Field[Any], hint: Any) -> bool:
    """Whether the word stands for None: where None may be, unless it could be a text that somebody means."""
    if field.metadata.get("choices"):
        return None in field.metadata["choices"] and NONE not in field.metadata["choices"]
    texts = any(kind in (str, list[str], Any) for kind in (hint, *get_args(hint)))
    return type(None) in get_args(hint) and (not texts or field.metadata.get("none", False))


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


def _near(name: object, known: Collection[Any]) -> str:
    near = difflib.get_close_matches(str(name), map(str, known), n=1)
    return f"{near[0]!r} instead" if near else f"one of {', '.join(sorted(map(str, known)))}"
