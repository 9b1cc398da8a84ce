"""Reads JSON lines and qrels files: fast with Arrow, and a second time line by line to name the line that is wrong."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
from tqdm.auto import tqdm

from st_mta.errors import InputError
from st_mta.progress import progress

if TYPE_CHECKING:
    from typing_extensions import Buffer

RECORD = pa.schema([("_id", pa.string()), ("title", pa.string()), ("text", pa.string())])
JUDGEMENT = pa.schema([("query", pa.string()), ("passage", pa.string()), ("grade", pa.int64())])
BLOCK_BYTES = 1 << 24  # Arrow reads blocks of 16 MiB in parallel; a line must fit into one


def read_records(path: Path) -> pa.Table:
    """Reads the columns ``_id``, ``title`` (may be null) and ``text`` of a JSON lines file, compressed or not.

    Raises:
        InputError: If a line is no JSON object, lacks ``_id`` or ``text``, or repeats an id; with its line number.
    """
    options = pa.json.ParseOptions(explicit_schema=RECORD, unexpected_field_behavior="ignore")
    try:
        with _opened(path) as file:
            table = pa.json.read_json(file, pa.json.ReadOptions(block_size=BLOCK_BYTES), options)
        table.validate(full=True)
    except (pa.ArrowException, EOFError, OSError):
        return _read_records_slowly(path)
    ids = table["_id"]
    faulty = ids.null_count or table["text"].null_count or pc.count_distinct(ids).as_py() != len(ids)
    return _read_records_slowly(path) if faulty else table


def read_qrels(path: Path) -> pa.Table:
    """Reads the columns ``query``, ``passage`` and ``grade`` of a file of judgements, with or without a header.

    Raises:
        InputError: If a row has not three fields, or its grade is no whole number; with its line number.
    """
    try:
        with _opened(path) as file:
            table = pa.csv.read_csv(
                file,
                pa.csv.ReadOptions(column_names=JUDGEMENT.names, skip_rows=int(_has_header(path))),
                pa.csv.ParseOptions(delimiter="\t", quote_char=False),
                pa.csv.ConvertOptions(column_types=JUDGEMENT, strings_can_be_null=False, null_values=[]),
            )
    except (pa.ArrowException, EOFError, OSError):
        return _read_qrels_slowly(path)
    blank = pc.any(pc.equal(pc.binary_length(table["query"]), 0)).as_py()
    return _read_qrels_slowly(path) if blank else table


def line_of_row(path: Path, row: int) -> str:
    """The place of a judgement as ``file:line``; empty lines and the header are no rows."""
    lines = [number for number, line in _lines(path) if number > 1 or not _has_header(path)]
    return f"{path}:{lines[row]}"


def _has_header(path: Path) -> bool:
    first = next((line for _, line in _lines(path)), "")
    return _number(first.split("\t")[-1]) is None


def _read_records_slowly(path: Path) -> pa.Table:
    """The same table, made line by line; this is where a wrong line gets its error."""
    first_line: dict[str, int] = {}
    titles: list[str | None] = []
    texts: list[str] = []
    for number, line in _lines(path):
        record = _parse_record(line, path, number)
        title, record_id = record.get("title"), str(record["_id"])
        if record_id in first_line:
            _refuse(path, number, "unique ids", f"the id {record_id!r} of line {first_line[record_id]} again")
        first_line[record_id] = number
        titles.append(title if isinstance(title, str) else None)
        texts.append(record["text"])
    return pa.table({"_id": list(first_line), "title": titles, "text": texts}, schema=RECORD)


def _parse_record(line: str, path: Path, number: int) -> dict[str, str]:
    try:
        record = json.loads(line)
    except json.JSONDecodeError as error:
        _refuse(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    if not isinstance(record, dict):
        _refuse(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    if not isinstance(record.get("_id"), (str, int)) or isinstance(record["_id"], bool):
        _refuse(path, number, 'a key "_id" with a string', _found(record, "_id"))
    if not isinstance(record.get("text"), str):
        _refuse(path, number, 'a key "text" with a string', _found(record, "text"))
    try:
        f"{record['_id']}{record.get('title')}{record['text']}".encode()
    except UnicodeEncodeError as error:
        _refuse(path, number, "text in Unicode", f"half a character ({error})")
    return cast("dict[str, str]", record)


def _found(record: dict[str, object], key: str) -> str:
    return f"{record[key]!r}" if key in record else f"only the keys {sorted(record)}"


def _read_qrels_slowly(path: Path) -> pa.Table:
    rows: list[tuple[str, str, int]] = []
    for number, line in _lines(path):
        fields = line.split("\t")
        if number == 1 and _number(fields[-1]) is None:
            continue
        if len(fields) != 3 or not all(fields):
            _refuse(path, number, "query id, passage id and grade, separated by tabs", repr(line))
        grade = _number(fields[2])
        if grade is None or not grade.is_integer():
            _refuse(path, number, "a whole number as grade", repr(fields[2]))
        rows.append((fields[0], fields[1], int(grade)))
    columns = zip(*rows) if rows else ([], [], [])
    return pa.table(dict(zip(JUDGEMENT.names, map(list, columns))), schema=JUDGEMENT)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Line number, from 1, and text of every line that is not blank."""
    number = 0
    try:
        with _opened(path) as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line.decode("utf-8-sig").rstrip("\r\n")
    except UnicodeDecodeError as error:
        _refuse(path, number, "text in UTF-8", f"other bytes ({error})")
    except (EOFError, OSError) as error:
        _refuse(path, number + 1, "a readable file", f"{type(error).__name__} ({error})")


class _CountedFile(io.FileIO):
    """A file that tells a progress bar how many of its bytes were read."""

    def __init__(self, path: Path, bar: tqdm) -> None:
        super().__init__(path)
        self.bar = bar

    def readinto(self, buffer: Buffer) -> int | None:
        count = super().readinto(buffer)
        self.bar.update(count or 0)
        return count


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file's bytes, decompressed, with a progress bar over the bytes on disk."""
    with progress(f"Reading {path.name}", path.stat().st_size, "bytes") as bar:
        with io.BufferedReader(_CountedFile(path, bar)) as file:
            yield cast("BinaryIO", gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file


def _refuse(path: Path, line: int, expected: str, got: str) -> NoReturn:
    raise InputError(
        expected=f"{expected} in {path.name}",
        got=f"{got} at {path}:{line}",
        consequence="texts or judgements would be lost or mixed up without a word",
        remedy="correct this line",
    )
