"""Texts from JSON lines, one object each, under the key names that are in use."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from st_mta.lines import opened, read_lines, refuse_line

RECORD = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
BLOCK_BYTES = 1 << 24  # Arrow reads blocks of 16 MiB in parallel; a line must fit into one
# Without case, "-", "_" and blanks: the names of beir, mteb, Anserini, Pyserini, Tevatron, MS MARCO and TREC.
PASSAGE_IDS = ("id", "docid", "docno", "pid", "passageid", "documentid", "corpusid", "did")
QUERY_IDS = ("id", "qid", "queryid", "topicid")
PASSAGE_TEXTS = ("text", "contents", "content", "passage", "body", "document", "passagetext", "segment")
QUERY_TEXTS = ("text", "query", "question", "querytext")


@dataclass(frozen=True)
class Keys:
    """The keys under which a file has its ids, titles and texts.

    Attributes:
        ids: "_id" in the layout of BEIR.
        titles: "title", None for queries, which have none.
        texts: "text" in the layout of BEIR.
    """

    ids: str
    titles: str | None
    texts: str

    @property
    def note(self) -> str:
        """What to say where they are not BEIR's."""
        return "" if (self.ids, self.texts) == ("_id", "text") else f"ids from {self.ids!r}, texts from {self.texts!r}"


def read_records(path: Path, *, queries: bool = False) -> tuple[pa.Table, str]:
    """Reads ids, titles and texts of a JSON lines file, compressed or not.

    The first line says under which keys they are. Numbers are read as what they look like in the file.

    Args:
        path: The file.
        queries: Whether to expect the key names of queries instead of those of passages.

    Returns:
        The columns ``_id``, ``title`` (may be null) and ``text``, and a note where the keys are not BEIR's.

    Raises:
        InputError: If a line is no JSON object, has no id or no text, or repeats an id; with its line number.
    """
    keys = _keys_of(path, queries)
    if keys is None:
        return RECORD.empty_table(), ""
    note = f"{path.name}: {keys.note}." if keys.note else ""
    return _read_at_once(path, keys), note


def _keys_of(path: Path, queries: bool) -> Keys | None:
    """The keys of the first line, None in an empty file."""
    for number, line in islice(numbered(path), 1):
        record = _parsed(line, path, number)
        ids, texts = (QUERY_IDS, QUERY_TEXTS) if queries else (PASSAGE_IDS, PASSAGE_TEXTS)
        title = None if queries else _key(record, path, number, "title", ("title",), required=False) or "title"
        return Keys(str(_key(record, path, number, "_id", ids)), title, str(_key(record, path, number, "text", texts)))
    return None


def _key(
    record: dict[str, Any], path: Path, number: int, wanted: str, names: tuple[str, ...], required: bool = True
) -> str | None:
    """BEIR's key where it is there, else the one key with another usual name."""
    if wanted in record:
        return wanted
    found = [key for key in record if plain_key(key) in names]
    if len({str(record[key]) for key in found}) > 1:
        refuse_line(path, number, f"one key for {wanted!r}", f"the keys {found}", f"call the right one {wanted!r}")
    if found:
        return found[0]
    if required:
        remedy = f"call it {wanted!r}"
        refuse_line(path, number, f'a key "{wanted}" with a string', f"only the keys {sorted(record)}", remedy)
    return None


def plain_key(key: str) -> str:
    """A key without case, "-", "_" and blanks."""
    return re.sub("[-_ ]", "", key.lower())


def _read_at_once(path: Path, keys: Keys) -> pa.Table:
    names = [name for name in (keys.ids, keys.titles, keys.texts) if name]
    schema = pa.schema([(name, pa.string()) for name in names])
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        with opened(path) as file:
            table = pa.json.read_json(file, pa.json.ReadOptions(block_size=BLOCK_BYTES), options)
        table.validate(full=True)
    except (pa.ArrowException, EOFError, OSError):
        return _read_line_by_line(path, keys)
    if keys.titles is None:
        table = table.append_column("no title", pa.nulls(len(table), pa.string()))
    table = table.select([keys.ids, keys.titles or "no title", keys.texts]).rename_columns(RECORD.names)
    ids = table["_id"]
    faulty = ids.null_count or table["text"].null_count or pc.count_distinct(ids).as_py() != len(ids)
    return _read_line_by_line(path, keys) if faulty else table


def _read_line_by_line(path: Path, keys: Keys) -> pa.Table:
    """The same table, made line by line; this is where a wrong line gets its error."""
    first_line: dict[str, int] = {}
    titles: list[str | None] = []
    texts: list[str] = []
    for number, line in numbered(path):
        record = _parsed(line, path, number)
        record_id = _text(record, keys.ids, path, number, (str, int))
        if record_id in first_line:
            refuse_line(path, number, "unique ids", f"the id {record_id!r} of line {first_line[record_id]} again")
        first_line[record_id] = number
        titles.append(_title(record, keys, path, number))
        texts.append(_text(record, keys.texts, path, number, (str, int, float)))
    return pa.table({"_id": list(first_line), "title": titles, "text": texts}, schema=RECORD)


def numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and lines of a text file, without blank ones."""
    return chain.from_iterable(zip(numbers.tolist(), lines.to_pylist()) for numbers, lines in read_lines(path))


def _parsed(line: str, path: Path, number: int) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_float=_Number)
    except ValueError as error:  # an integer of many thousand digits is one too
        refuse_line(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    except RecursionError:
        refuse_line(path, number, "one JSON object on each line", "text that is nested too deeply")
    if not isinstance(record, dict):
        refuse_line(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    return record


class _Number(float):
    """A number that remembers how it was written: the title 1.10 is no 1.1."""

    def __init__(self, written: str) -> None:
        self.written = written

    def __new__(cls, written: str) -> _Number:
        return super().__new__(cls, written)

    def __str__(self) -> str:
        return self.written


def _text(record: dict[str, Any], key: str, path: Path, number: int, kinds: tuple[type, ...]) -> str:
    """The value under a key as a string."""
    value = record.get(key)
    if not isinstance(value, kinds) or isinstance(value, bool) or _is_nan(value):
        found = f"{value!r}" if key in record else f"only the keys {sorted(record)}"
        refuse_line(path, number, f'a key "{key}" with a string', found)
    try:
        return str(value).encode().decode()
    except UnicodeEncodeError as error:
        refuse_line(path, number, "text in Unicode", f"half a character ({error})")


def _title(record: dict[str, Any], keys: Keys, path: Path, number: int) -> str | None:
    value = record.get(keys.titles) if keys.titles else None
    if value is None or _is_nan(value):  # pandas writes a missing title as NaN
        return None
    return _text({"title": value}, "title", path, number, (str, int, float))


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)
