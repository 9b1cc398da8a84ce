"""Dataclasses of options that are checked when they are made: types, ranges, choices, texts that can be used."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, get_type_hints

from st_mta.errors import InputError
from st_mta.ranges import check_number
from st_mta.typed import MISFITS, in_words, typed


class Checked:
    """Base of dataclasses whose fields are written with [`st_mta.options.option`]."""

    def __post_init__(self) -> None:
        check_fields(self)
        if (parent := getattr(super(), "__post_init__", None)) is not None:
            parent()


def check_fields(options: Any) -> None:
    """Types and checks every field written with `option`; numbers of numpy and paths become plain ones.

    Args:
        options: A dataclass instance, frozen or not.

    Raises:
        InputError: For the first value that does not fit, by the field's name.
    """
    hints = get_type_hints(type(options))
    for field in fields(options):
        if is_option(field):
            given = getattr(options, field.name)
            value = _fitting(field, hints[field.name], given)
            if value is not given:
                object.__setattr__(options, field.name, value)


def is_option(field: Field[Any]) -> bool:
    """Whether the field was written with `option` and can be given."""
    return field.init and "within" in field.metadata


def _fitting(field: Field[Any], hint: Any, value: Any) -> Any:
    try:
        found = typed(value, hint)
    except MISFITS as error:
        raise _misfit(field.name, in_words(hint), value) from error
    for one in found if isinstance(found, list) else [found]:
        _check_one(field, one)
    required = field.default is MISSING and field.default_factory is MISSING
    if found == [] and required:
        raise _misfit(field.name, "a list of at least one", found)
    return found


def _check_one(field: Field[Any], value: Any) -> None:
    choices = field.metadata["choices"]
    if choices is not None and value is not None:
        check_number(field.name, value, _Choices(choices))
    if field.metadata["within"] is not None:
        check_number(field.name, value, field.metadata["within"])
    if isinstance(value, str):
        _check_text(field.name, value)


class _Choices(tuple[Any, ...]):
    """Words that are allowed, for messages."""

    def __str__(self) -> str:
        return f"to be one of {', '.join(map(repr, self))}"


def _check_text(name: str, text: str) -> None:
    """Neither empty nor with what no file's name can hold or no file in UTF-8 can keep."""
    if not text.strip():
        raise _misfit(name, "a text that is not empty", text)
    if "\0" in text or not _in_utf8(text):
        raise _misfit(name, "a text in UTF-8 without null characters", text)


def _in_utf8(text: str) -> bool:
    try:
        return bool(text.encode("utf-8"))
    except UnicodeEncodeError:
        return False


def _misfit(name: str, expected: str, value: object) -> InputError:
    return InputError(expected=f"{expected} for {name}", got=repr(value), remedy=f"change {name}")
