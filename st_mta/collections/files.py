"""Reads JSON lines: fast with Arrow, and a second time line by line to name the line that is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from st_mta.lines import opened, read_lines, refuse_line

RECORD = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
BLOCK_BYTES = 1 << 24  # Arrow reads blocks of 16 MiB in parallel; a line must fit into one


def read_records(path: Path) -> pa.Table:
    """Reads the columns ``_id``, ``title`` (may be null) and ``text`` of a JSON lines file, compressed or not.

    Raises:
        InputError: If a line is no JSON object, lacks ``_id`` or ``text``, or repeats an id; with its line number.
    """
    options = pa.json.ParseOptions(explicit_schema=RECORD, unexpected_field_behavior="ignore")
    try:
        with opened(path) as file:
            table = pa.json.read_json(file, pa.json.ReadOptions(block_size=BLOCK_BYTES), options)
        table.validate(full=True)
    except (pa.ArrowException, EOFError, OSError):
        return _read_records_slowly(path)
    ids = table["_id"]
    faulty = ids.null_count or table["text"].null_count or pc.count_distinct(ids).as_py() != len(ids)
    return _read_records_slowly(path) if faulty else table


def _read_records_slowly(path: Path) -> pa.Table:
    """The same table, made line by line; this is where a wrong line gets its error."""
    first_line: dict[str, int] = {}
    titles: list[str | None] = []
    texts: list[str] = []
    for number, line in (
        line for numbers, lines in read_lines(path) for line in zip(numbers.tolist(), lines.to_pylist())
    ):
        record = _parse_record(line, path, number)
        title, record_id = record.get("title"), str(record["_id"])
        if record_id in first_line:
            refuse_line(path, number, "unique ids", f"the id {record_id!r} of line {first_line[record_id]} again")
        first_line[record_id] = number
        titles.append(title if isinstance(title, str) else None)
        texts.append(record["text"])
    return pa.table({"_id": list(first_line), "title": titles, "text": texts}, schema=RECORD)


def _parse_record(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        refuse_line(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    if not isinstance(record, dict):
        refuse_line(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    if not isinstance(record.get("_id"), (str, int)) or isinstance(record["_id"], bool):
        refuse_line(path, number, 'a key "_id" with a string', _found(record, "_id"))
    if not isinstance(record.get("text"), str):
        refuse_line(path, number, 'a key "text" with a string', _found(record, "text"))
    try:
        f"{record['_id']}{record.get('title')}{record['text']}".encode()
    except UnicodeEncodeError as error:
        refuse_line(path, number, "text in Unicode", f"half a character ({error})")
    return cast("dict[str, str]", record)


def _found(record: dict[str, object], key: str) -> str:
    return f"{record[key]!r}" if key in record else f"only the keys {sorted(record)}"
