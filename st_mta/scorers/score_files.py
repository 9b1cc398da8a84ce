"""Reading files of scores block by block: TREC runs (six columns) and Parquet files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from st_mta.errors import InputError
from st_mta.types import FloatArray

TREC_SUFFIXES = (".trec", ".run", ".txt")
PARQUET_SUFFIXES = (".parquet",)
COLUMNS = ("query_id", "passage_id", "score")
# Some million lines: each block is matched with the ids of the whole collection, so blocks should be few.
BLOCK_BYTES = 2**27
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a file.

    Attributes:
        first_line: Line number (from 1; row number in Parquet) of the first row.
        query_ids: Strings.
        passage_ids: Strings.
        scores: (n,) float32, finite.
    """

    first_line: int
    query_ids: pa.Array
    passage_ids: pa.Array
    scores: FloatArray


def read_blocks(path: Path) -> Iterator[Block]:
    """The rows of a file of scores.

    Raises:
        InputError: If the file is missing or of another kind, a row malformed, or a score not a finite number.
    """
    refuse_no_file(path)
    yield from _read_parquet(path) if path.suffix.lower() in PARQUET_SUFFIXES else _read_trec(path)


def _read_trec(path: Path) -> Iterator[Block]:
    read = pa.csv.ReadOptions(column_names=["line"], block_size=BLOCK_BYTES)
    # One column: a delimiter that text files do not have, and no quoting.
    parse = pa.csv.ParseOptions(delimiter="\x01", quote_char=False, ignore_empty_lines=False)
    convert = pa.csv.ConvertOptions(column_types={"line": pa.large_string()}, strings_can_be_null=False)
    if path.stat().st_size == 0:
        return
    first_line = 1
    with pa.csv.open_csv(path, read, parse, convert) as reader:
        for batch in reader:
            yield _parse_trec(path, first_line, batch.column(0))
            first_line += len(batch)


def _parse_trec(path: Path, first_line: int, lines: pa.Array) -> Block:
    fields = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines))
    count = pc.list_value_length(fields).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(count != 6)
    if len(wrong):
        raise _malformed(
            path, first_line + int(wrong[0]), lines[int(wrong[0])].as_py(), "six columns (query, Q0, ...)"
        )
    flat = pc.list_flatten(fields)
    columns = [flat.take(pa.array(np.arange(column, len(flat), 6))) for column in (0, 2, 4)]
    scores = _numbers(path, first_line, lines, columns[2])
    return Block(first_line, columns[0], columns[1], scores)


def _numbers(path: Path, first_line: int, lines: pa.Array, words: pa.Array) -> FloatArray:
    wrong = np.flatnonzero(~pc.match_substring_regex(words, NUMBER).to_numpy(zero_copy_only=False))
    if len(wrong):
        place = int(wrong[0])
        raise _malformed(path, first_line + place, lines[place].as_py(), "a finite number as score (fifth column)")
    plain = pc.replace_substring_regex(words, r"^\+", "")
    return np.asarray(pc.cast(plain, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float32)


def _read_parquet(path: Path) -> Iterator[Block]:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            expected=f"a Parquet file at {path}",
            got=str(error),
            consequence="there would be no scores",
            remedy="write the file again, or give another",
        ) from error
    missing = [column for column in COLUMNS if column not in file.schema_arrow.names]
    if missing:
        raise InputError(
            expected=f"the columns {list(COLUMNS)} in {path}",
            got=f"{file.schema_arrow.names}",
            consequence="it is unclear which score belongs to which pair",
            remedy="rename the columns",
        )
    first_row = 1
    for batch in file.iter_batches(batch_size=2**22, columns=list(COLUMNS)):
        query_ids, passage_ids = (batch.column(name).cast(pa.large_string()) for name in COLUMNS[:2])
        scores = batch.column("score").cast(pa.float32()).to_numpy(zero_copy_only=False)
        broken = np.flatnonzero(~np.isfinite(scores) | _nulls(query_ids) | _nulls(passage_ids))
        if len(broken):
            row = str(batch.slice(int(broken[0]), 1).to_pylist()[0])
            raise _malformed(path, first_row + int(broken[0]), row, "two ids and a finite score")
        yield Block(first_row, query_ids, passage_ids, scores)
        first_row += len(batch)


def _nulls(column: pa.Array) -> np.ndarray:
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _malformed(path: Path, line: int, text: str, expected: str) -> InputError:
    return InputError(
        expected=f"{expected} in {path}, line {line}",
        got=repr(text[:200]),
        consequence="the score of a pair would be lost or belong to another",
        remedy="correct the line; a TREC run has the columns query Q0 passage rank score tag, separated by spaces",
    )


def refuse_no_file(path: Path) -> None:
    """Raises ``InputError`` if the file is missing or its name says no known format."""
    if not path.is_file():
        raise InputError(
            expected=f"a file of scores at {path}",
            got="no such file",
            consequence="there would be no scores",
            remedy="check the path",
        )
    if path.suffix.lower() not in TREC_SUFFIXES + PARQUET_SUFFIXES:
        raise InputError(
            expected=f"a file of scores ending in one of {[*TREC_SUFFIXES, *PARQUET_SUFFIXES]}",
            got=path.name,
            consequence="its format would have to be guessed",
            remedy="rename it",
        )
