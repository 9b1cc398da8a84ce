"""A file of records, whatever its format: what its first record looks like, and how DuckDB reads all of them."""

from __future__ import annotations

import gzip
import json
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.collections.records import numbered
from st_mta.collections.score_files.kinds import check_record
from st_mta.collections.score_files.sql import sql_name, sql_text
from st_mta.errors import InputError
from st_mta.lines import BOM, opened, read_lines, refuse_line, refuse_no_file
from st_mta.trec import is_run_file

RECORDS = (".jsonl", ".ndjson", ".json")
PICKLES = (".pkl", ".pickle")
EXPECTED = "a file of records (.jsonl, .json, also .gz, or .parquet), or a folder written by save_to_disk"


@dataclass(frozen=True)
class Source:
    """A file or folder of records.

    Attributes:
        path: Where it is.
        sample: Its first record, or the columns of all its records with a value of each; empty where it is a run:
            ``{query_id: {passage_id: score}}`` or lines of TREC.
        format: "newline_delimited" or "array" for JSON, "parquet" or "arrow".
        table: The rows of a dataset, memory-mapped.
    """

    path: Path
    sample: Mapping[str, Any]
    format: str
    table: pa.Table | None = None

    @classmethod
    def open(cls, path: Path) -> Source:
        """Looks at the file.

        Raises:
            InputError: If it is not there, holds no records, is broken, or is a pickle.
        """
        if path.is_dir():
            return _dataset(path)
        refuse_no_file(path)
        name = path.name.lower().removesuffix(".gz")
        _refuse_pickle(path, name)
        if name.endswith(".parquet"):
            return cls(path, _first_row(path), "parquet")
        if name.endswith(RECORDS):
            with _readable(path):
                return _json(path)
        if is_run_file(name):
            return cls(path, {}, "run")
        raise InputError(expected=EXPECTED, got=str(path), remedy="give it the ending that says what it is")

    @property
    def is_json(self) -> bool:
        """Whether each record has columns of its own."""
        return self.format in ("newline_delimited", "array")

    @property
    def schema(self) -> pa.Schema | None:
        """Types of the columns, where the file says them."""
        if self.table is not None:
            return self.table.schema
        return pq.read_schema(self.path) if self.format == "parquet" else None

    def plain(self, copy: Path) -> Path:
        """The file, or a copy of it without the mark of its byte order, which DuckDB does not read."""
        if not self.is_json:
            return self.path.resolve()
        with _readable(self.path), opened(self.path) as file:
            if file.read(len(BOM)) != BOM:
                return self.path.resolve()
            with open(copy, "wb") as output:
                shutil.copyfileobj(file, output, 2**24)
        return copy

    def refuse_broken(self) -> None:
        """Raises ``InputError`` if the file cannot be read to its end."""
        if self.is_json:
            with _readable(self.path), opened(self.path) as file:
                while file.read(2**24):
                    pass

    def objects(self, link: Path) -> str:
        """SQL for the records of a file of JSON as they are, in a column ``json``."""
        return f"read_json_objects({sql_text(link)}, format = '{self.format}')"

    def relation(self, types: Mapping[str, str], link: Path) -> str:
        """SQL for the columns of these types.

        Args:
            types: Column -> type.
            link: A path that names the file without signs that DuckDB would take for patterns.
        """
        if self.is_json:
            shape = ", ".join(f"{sql_text(column)}: '{kind}'" for column, kind in types.items())
            return f"read_json({sql_text(link)}, format = '{self.format}', columns = {{{shape}}})"
        there = {column: sql_name(column) if column in self.sample else "NULL" for column in types}
        selected = ", ".join(f"CAST({there[name]} AS {types[name]}) AS {sql_name(name)}" for name in types)
        rows = "dataset" if self.table is not None else f"read_parquet({sql_text(link)})"
        return f"(SELECT {selected} FROM {rows})"

    def refuse(self, row: int, expected: str, got: str) -> NoReturn:
        """Raises ``InputError`` for a record, counted from 0, with its line where it has one."""
        if self.format == "newline_delimited":
            numbers = chain.from_iterable(numbers.tolist() for numbers, _ in read_lines(self.path))
            refuse_line(self.path, next(number for place, number in enumerate(numbers) if place == row), expected, got)
        raise InputError(
            expected=f"{expected} in {self.path.name}", got=f"{got} in row {row + 1}", remedy="correct this row"
        )

    def refuse_unreadable(self, types: Mapping[str, str], error: Exception, link: Path) -> NoReturn:
        """Raises ``InputError`` for the first line that is no record, or else with what DuckDB says of the link."""
        if self.format == "newline_delimited":
            for number, line in numbered(self.path):
                check_record(self.path, number, line, types)
        raise InputError(
            expected=f"records with {', '.join(f'{name} ({kind})' for name, kind in types.items())} in {self.path}",
            got=" ".join(str(error).replace(str(link), str(self.path)).split())[:500],
            remedy="correct the file, or convert it to .jsonl",
        ) from error


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Within it, a file that gzip wrote and that is cut or damaged becomes an ``InputError``."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(
            expected=f"a readable file at {path}",
            got=f"{type(error).__name__} ({error})",
            consequence="its last records would be missing",
            remedy="fetch or write it again",
        ) from error


def is_zipped(path: Path) -> bool:
    """Whether gzip wrote the file, whatever its name says."""
    with open(path, "rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _json(path: Path) -> Source:
    with opened(path) as file:
        first = (
            next((line for line in iter(file.readline, b"") if line.strip()), b"")
            .decode(errors="replace")
            .lstrip("\ufeff")
            .strip()
        )
    if first.startswith("["):
        return Source(path, _first_of_array(path), "array")
    record: Any = None
    with suppress(ValueError, RecursionError):
        record = json.loads(first)
    if path.name.lower().removesuffix(".gz").endswith(".json") and (record is None or _is_run(record)):
        return Source(path, {}, "run")
    if not isinstance(record, dict) or not record:
        number = next((number for number, _ in numbered(path)), 1)
        refuse_line(path, number, "one JSON object on each line", repr(first[:80]) if first else "an empty file")
    return Source(path, record, "newline_delimited")


def _is_run(record: Any) -> bool:
    """Whether it is a dictionary of a cross-encoder's scores, written in one line."""
    return isinstance(record, dict) and all(
        isinstance(of, dict) and all(isinstance(score, (int, float)) for score in of.values())
        for of in record.values()
    )


def _first_of_array(path: Path) -> dict[str, Any]:
    with opened(path) as file:
        text = file.read(2**24).decode(errors="replace").lstrip("\ufeff \t\r\n[")
    try:
        record, _ = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError) as error:
        refuse_line(path, getattr(error, "lineno", 1), "a list of JSON objects", f"text that is no JSON ({error})")
    if not isinstance(record, dict):
        refuse_line(path, 1, "a list of JSON objects", f"a {type(record).__name__}")
    return record


def _first_row(path: Path) -> dict[str, Any]:
    try:
        file = pq.ParquetFile(path, pre_buffer=False)  # of which one row is read, however large its row groups
        batch = next(file.iter_batches(batch_size=1), None)
    except (pa.ArrowException, OSError) as error:
        raise InputError(expected=EXPECTED, got=f"{path} ({error})", remedy="write it again") from error
    return _only_row(path, None if batch is None else pa.table(batch))


def _only_row(path: Path, table: pa.Table | None) -> dict[str, Any]:
    if table is None or not len(table):
        raise InputError(expected=EXPECTED, got=f"no rows in {path}", remedy="name a file with rows")
    row: dict[str, Any] = table.slice(0, 1).to_pylist()[0]
    return row


def _dataset(path: Path) -> Source:
    """A dataset written by ``save_to_disk``; of several splits that for training."""
    from datasets import DatasetDict, load_from_disk  # takes a second to import
    from datasets.exceptions import DatasetsError

    try:
        found = load_from_disk(str(path))
    except (OSError, ValueError, DatasetsError) as error:
        raise InputError(
            expected=EXPECTED, got=f"{path} ({error})", remedy="name the file or folder itself"
        ) from error
    if isinstance(found, DatasetDict):
        if len(found) > 1 and "train" not in found:
            raise InputError(
                expected=f"a dataset with a split 'train', or only one, in {path}",
                got=", ".join(found),
                remedy="save the split alone and name that folder",
            )
        found = found["train" if "train" in found else next(iter(found))]
    table = found.with_format("arrow")[:]
    return Source(path, _only_row(path, table), "arrow", table)


def _refuse_pickle(path: Path, name: str) -> None:
    with open(path, "rb") as raw:
        head = raw.read(2)
    if not name.endswith(PICKLES) and head[:1] != b"\x80":
        return
    reader = "gzip.open" if head == b"\x1f\x8b" else "open"
    raise InputError(
        expected=EXPECTED,
        got=f"the pickle {path}",
        consequence="reading it would run whatever program is in it",
        remedy="where you trust it, turn it into Parquet with two lines of Python: "
        "`import gzip, pickle, pyarrow as pa, pyarrow.parquet as pq; "
        f"scores = pickle.load({reader}({path.name!r}, 'rb'))` and "
        "`pq.write_table(pa.Table.from_pylist([dict(query_id=str(q), passage_id=str(p), score=float(s)) "
        "for q, of in scores.items() for p, s in of.items()]), 'scores.parquet')`",
    )
