"""Which values a column may hold, so that reading them as its type loses nothing.

DuckDB reads everything as text, a list as "[a, b]" too: what is no text has to be found before.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import types as of_arrow

from st_mta.collections.score_files.forms import PASSAGES, TEXT, TEXTS
from st_mta.collections.score_files.sql import sql_name
from st_mta.lines import refuse_line

WANTED = {TEXT: "a text", TEXTS: "a list of texts", PASSAGES: "a list of passages, each with its text"}
PASSAGE_TEXTS = ("docid", "title", "text")


def no_texts(column: str, kind: str) -> str:
    """SQL that is true where a column, read as JSON, has a list, an object, true or false in place of a text."""
    name = sql_name(column)
    if kind == TEXT:
        return f"coalesce({_no_text(name)}, false)"
    fields = ["x"] if kind == TEXTS else [f"x.{field}" for field in PASSAGE_TEXTS]
    return f"coalesce(len([x for x in {name} if {' OR '.join(map(_no_text, fields))}]) > 0, false)"


def holds_texts(given: pa.DataType, kind: str) -> bool:
    """Whether a column of this Arrow type can be read as a text, a list of texts or a list of passages.

    A list may be written as text: DuckDB reads it, or says that it is none.
    """
    if kind == TEXT:
        return _is_text(given)
    if not of_arrow.is_nested(given):
        return _is_text(given)
    if not _is_list(given):
        return False
    if kind == TEXTS:
        return _is_text(given.value_type)
    passage = given.value_type
    if not of_arrow.is_struct(passage):
        return bool(of_arrow.is_null(passage))
    return all(_is_text(field.type) for field in passage if field.name in PASSAGE_TEXTS)


def check_record(path: Path, number: int, line: str, types: Mapping[str, str]) -> None:
    """Raises ``InputError`` for a line that is no record with columns of these types."""
    try:
        record = json.loads(line, object_pairs_hook=_Object)
        json.dumps(record, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:  # half a character is no text either
        refuse_line(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    if not isinstance(record, _Object):
        refuse_line(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    for column, kind in types.items():
        if column in record.repeated or (kind == PASSAGES and _repeats(record.get(column))):
            refuse_line(path, number, "each key once in an object", f'a key twice in "{column}"')
        if not _fits(value := record.get(column), kind):
            refuse_line(path, number, f'{kind} under "{column}"', repr(value)[:200])


class _Object(dict[str, Any]):
    """An object of JSON that knows which of its keys were written several times."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.repeated = {key for key, count in Counter(key for key, _ in pairs).items() if count > 1}


def _repeats(passages: Any) -> bool:
    return isinstance(passages, list) and any(isinstance(each, _Object) and each.repeated for each in passages)


def _no_text(value: str) -> str:
    return f"left({value}::VARCHAR, 1) IN ('[', '{{', 't', 'f')"


def _is_list(given: pa.DataType) -> bool:
    return bool(of_arrow.is_list(given) or of_arrow.is_large_list(given) or of_arrow.is_fixed_size_list(given))


def _is_text(given: pa.DataType) -> bool:
    if of_arrow.is_dictionary(given):
        return _is_text(given.value_type)
    binary = of_arrow.is_binary(given) or of_arrow.is_large_binary(given) or of_arrow.is_fixed_size_binary(given)
    return not (of_arrow.is_nested(given) or binary or of_arrow.is_boolean(given))


def _fits(value: Any, kind: str) -> bool:
    """Whether a value of JSON can be read as a type; missing ones are for other checks to judge."""
    if value is None:
        return True
    if kind.endswith("[]"):
        return isinstance(value, list) and all(_fits(each, kind.removesuffix("[]")) for each in value)
    if kind.startswith("STRUCT"):
        return isinstance(value, dict)
    if kind == "DOUBLE":
        return _is_number(value)
    return kind != TEXT or not isinstance(value, (list, dict, bool))


def _is_number(value: Any) -> bool:
    """A number, or a text that is one."""
    try:
        return isinstance(value, (int, float, str)) and abs(float(value)) < float("inf")
    except (ValueError, OverflowError):
        return False
