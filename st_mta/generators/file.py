"""Queries that somebody has generated: lines of passage id and query, or queries and their judgements as in BEIR."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from st_mta.collections.records import numbered, plain_key, read_records
from st_mta.errors import InputError
from st_mta.generators.base import HALF, QueryGenerator
from st_mta.lines import opened, read_lines, refuse_line, refuse_no_file
from st_mta.trec import read_qrels
from st_mta.types import IntArray, Texts

SUFFIXES = (".jsonl", ".tsv", ".parquet")
"""Endings of such files; all but the last may be followed by ".gz"."""
PASSAGE_KEYS = ("passageid", "pid", "docid", "docno", "corpusid", "documentid", "id")
QUERY_KEYS = ("query", "question", "generatedquery", "generatedquestion")
"""How files call the two columns, without case, "-", "_" and blanks."""
WITH_QRELS = re.compile(r"(.+-)?queries\.jsonl(\.gz)?")
FORM = '{"_id": passage id, "query": ...} on each line, or passage id, tab and query, or a Parquet file'


class FileGenerator(QueryGenerator):
    """Generated queries from a file.

    Args:
        path: ``.jsonl`` with the passage's id and a query on each line (as BeIR's data sets of generated queries),
            ``.tsv`` with these two, with or without a header, ``.parquet`` with such columns, or GPL's
            ``qgen-queries.jsonl``, whose passages stand beside it in ``qgen-qrels/train.tsv``.

    Raises:
        InputError: If the file cannot be read, with the line; when used, if it is about another corpus.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.name
        refuse_no_file(self.path)
        self._passages, self._queries = _read(self.path)

    def available(self, corpus: Texts) -> IntArray:
        """Positions of the passages that the file has queries for."""
        positions = corpus.find(self._passages)
        known = np.unique(positions[positions >= 0])
        if not len(known):
            first = self._passages[0].as_py() if len(self._passages) else None
            raise InputError(
                expected=f"queries of passages of the collection in {self.path}",
                got="none" if first is None else f"only unknown passage ids, the first is {first!r}",
                remedy="name the file that was generated from this collection",
            )
        return known

    def queries(self, corpus: Texts, positions: IntArray) -> list[list[str]]:
        """The queries of n passages, in the order of the file."""
        of = corpus.find(self._passages)
        order = np.argsort(of, kind="stable")
        starts, ends = (np.searchsorted(of[order], positions, side=side) for side in ("left", "right"))
        rows = [order[start:end] for start, end in zip(starts.tolist(), ends.tolist())]
        texts = iter(self._queries.take(pa.array(np.concatenate([order[:0], *rows]))).to_pylist())
        return [[next(texts) for _ in range(len(some))] for some in rows]


def is_query_file(name: str) -> bool:
    """Whether a name ends as such files do."""
    return name.lower().removesuffix(".gz").endswith(SUFFIXES)


def _read(path: Path) -> tuple[pa.Array, pa.Array]:
    """Passage ids and queries, row by row."""
    beside = path.with_name(re.sub(r"queries\.jsonl(\.gz)?$", "qrels", path.name))
    if WITH_QRELS.fullmatch(path.name) and beside.is_dir():
        return _read_with_qrels(path, beside / "train.tsv")
    ending = Path(path.name.lower().removesuffix(".gz")).suffix
    return {".jsonl": _read_json, ".tsv": _read_tabs, ".parquet": _read_parquet}[ending](path)


def _read_with_qrels(path: Path, qrels: Path) -> tuple[pa.Array, pa.Array]:
    records, _ = read_records(path, queries=True)
    pairs = [(query, passage) for query, passages in read_qrels(qrels).items() for passage in passages]
    rows = pc.index_in(pa.array([query for query, _ in pairs], pa.string()), records["_id"].combine_chunks())
    if rows.null_count:
        unknown = pairs[int(rows.is_null().to_numpy(zero_copy_only=False).argmax())][0]
        raise InputError(
            expected=f"the queries of {qrels} in {path}", got=f"none with the id {unknown!r}", remedy="name both files"
        )
    passages = pa.array([passage for _, passage in pairs], pa.large_string())
    return passages, _strings(records["text"].take(rows))


def _read_tabs(path: Path) -> tuple[pa.Array, pa.Array]:
    found: list[tuple[pa.Array, pa.Array]] = []
    for numbers, lines in read_lines(path):
        cells = pc.split_pattern(lines, "\t", max_splits=1)
        short = np.flatnonzero(pc.list_value_length(cells).to_numpy() < 2)
        if len(short):
            row = int(short[0])
            refuse_line(path, int(numbers[row]), "passage id, tab and query", repr(lines[row].as_py())[:200])
        passages, queries = (pc.list_element(cells, place) for place in (0, 1))
        headed = not found and plain_key(passages[0].as_py()) in PASSAGE_KEYS
        headed = headed and plain_key(queries[0].as_py()) in QUERY_KEYS
        found.append((passages[int(headed) :], queries[int(headed) :]))
    nothing = pa.array([], pa.large_string())
    passages, queries = (pa.concat_arrays([nothing, *(_strings(part[place]) for part in found)]) for place in (0, 1))
    return passages, queries


def _read_parquet(path: Path) -> tuple[pa.Array, pa.Array]:
    try:
        names = _columns(path, pa.parquet.read_schema(path).names)
        table = pa.parquet.read_table(path, columns=list(names))
        found = _strings(table[names[0]]), _strings(table[names[1]])
    except (pa.ArrowException, OSError) as error:
        raise InputError(expected=FORM, got=f"{path} ({error})", remedy="write the file anew") from error
    for name, column in zip(names, found):
        if column.null_count:
            row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
            raise InputError(
                expected=f"a value of {name!r} in every row of {path}",
                got=f"{column.null_count} rows without one, the first is row {row + 1}",
                remedy="leave these rows out",
            )
    return found


def _read_json(path: Path) -> tuple[pa.Array, pa.Array]:
    first = next(iter(numbered(path)), None)
    if first is None:
        return pa.array([], pa.large_string()), pa.array([], pa.large_string())
    names = _columns(path, _parsed(path, *first))
    schema = pa.schema([(name, pa.string()) for name in names])
    options = pa.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="ignore")
    try:
        with opened(path) as file:
            table = pa.json.read_json(file, parse_options=options)
    except (pa.ArrowException, OSError, EOFError):  # numbers as ids, or a wrong line, which is named
        return _read_json_lines(path, names)
    if table[names[0]].null_count or table[names[1]].null_count:
        return _read_json_lines(path, names)
    return _strings(table[names[0]]), _strings(table[names[1]])


def _read_json_lines(path: Path, names: tuple[str, str]) -> tuple[pa.Array, pa.Array]:
    rows: list[tuple[str, str]] = []
    for number, line in numbered(path):
        record = _parsed(path, number, line)
        passage, query = (record.get(name) for name in names)
        if not isinstance(passage, (str, int)) or not isinstance(query, str):
            refuse_line(path, number, f"a text or number as {names[0]} and a text as {names[1]}", repr(record)[:200])
        if HALF.search(f"{passage}{query}"):
            refuse_line(path, number, "text in Unicode", f"half a character in {query!r}"[:200])
        rows.append((str(passage), query))
    passages, queries = zip(*rows)
    return pa.array(passages, pa.large_string()), pa.array(queries, pa.large_string())


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        refuse_line(path, number, "one JSON object on each line", f"text that is no JSON ({error})")
    if not isinstance(record, dict):
        refuse_line(path, number, "one JSON object on each line", f"a {type(record).__name__}")
    return record


def _columns(path: Path, names: Any) -> tuple[str, str]:
    """The columns of the passages' ids and of the queries."""
    plain = {plain_key(name): name for name in names}
    passages, queries = (
        next((plain[key] for key in keys if key in plain), None) for keys in (PASSAGE_KEYS, QUERY_KEYS)
    )
    if passages is None or queries is None:
        raise InputError(expected=FORM, got=f"{path} with {', '.join(names)}", remedy="rename the two columns")
    return passages, queries


def _strings(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    strings = column.cast(pa.large_string())
    return strings.combine_chunks() if isinstance(strings, pa.ChunkedArray) else strings
