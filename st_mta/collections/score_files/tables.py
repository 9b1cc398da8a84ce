"""Pairs, queries and passages of published scores as tables of a DuckDB on disk, and as the files of a collection."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from st_mta.collections.records import PASSAGE_IDS, PASSAGE_TEXTS, QUERY_IDS, QUERY_TEXTS, plain_key
from st_mta.collections.score_files.forms import TEXT, Columns
from st_mta.collections.score_files.reader import Reader
from st_mta.collections.score_files.source import Source
from st_mta.collections.score_files.sql import sql_name, sql_text
from st_mta.errors import InputError
from st_mta.trec import LARGEST, read_rows, write_qrels
from st_mta.types import by_query

logger = logging.getLogger(__name__)

MEMORY = "1GB"
KEY = "left(md5({}), 16)"
"""Id of a text that has none, so that equal texts have one."""
NOT_BLANK = "trim({}, E' \\t\\r\\n') <> ''"


class Tables:
    """The tables ``pairs``, ``queries`` and ``passages`` of one import.

    Attributes:
        reader: Reads files of records into their database.

    Args:
        folder: For the database and what does not fit into memory; it is the caller's to delete.
    """

    def __init__(self, folder: Path) -> None:
        spilled = str(folder / "spilled")
        options = {"memory_limit": MEMORY, "temp_directory": spilled, "preserve_insertion_order": "true"}
        self._database = duckdb.connect(str(folder / "import.duckdb"), config=options)
        self.reader = Reader(self._database, folder)
        for table in ("queries", "passages"):
            self._run(f"CREATE TABLE {table} (id VARCHAR, title VARCHAR, text VARCHAR)")

    def close(self) -> None:
        """Closes the database."""
        self._database.close()

    def add_run(self, path: Path) -> None:
        """Pairs from a run file or a cross-encoder's dictionary."""
        self._run("CREATE TABLE pairs (query_id VARCHAR, passage_id VARCHAR, score DOUBLE, grade BIGINT)")
        for rows in read_rows(path):
            columns = rows.query_ids, rows.passage_ids, pa.array(rows.scores)
            self._database.register("rows", pa.table(dict(zip("qps", columns))))
            self._run("INSERT INTO pairs SELECT q, p, s, NULL FROM rows")
        self._database.unregister("rows")

    def add_pairs(self, source: Source, columns: Columns) -> None:
        """Pairs of records, and the texts that they bring.

        Raises:
            InputError: If a record is malformed, with its line.
        """
        query_id, passage_ids = _ids(columns)
        with self.reader.reading(source, columns.types, _checks(columns)) as (records, checked):
            lists = {"passage_id": passage_ids, "score": columns.scores, "grade": columns.grades}
            types = {"passage_id": "VARCHAR[]", "score": "DOUBLE[]", "grade": "BIGINT[]"}
            unnested = ", ".join(f"unnest(({lists[name]})::{types[name]}) AS {name}" for name in lists)
            self._run(f"CREATE TABLE pairs AS SELECT {query_id} AS query_id, {unnested} FROM {checked}")
            if columns.query != "NULL":
                selected = f"SELECT {query_id} AS id, NULL AS title, {columns.query} AS text FROM {records}"
                self._run(f"INSERT INTO queries SELECT DISTINCT * FROM ({selected})")
            if columns.passages != "NULL":
                lists = {"id": passage_ids, "title": columns.titles, "text": columns.passages}
                unnested = ", ".join(f"unnest(({of})::VARCHAR[]) AS {name}" for name, of in lists.items())
                self._run(f"INSERT INTO passages SELECT DISTINCT * FROM (SELECT {unnested} FROM {records})")

    def add_texts(self, table: str, source: Source) -> None:
        """Queries or passages of a file of their own.

        Raises:
            InputError: If it has no ids or texts.
        """
        ids, texts = (QUERY_IDS, QUERY_TEXTS) if table == "queries" else (PASSAGE_IDS, PASSAGE_TEXTS)
        first, source = source.sample, self.reader.survey(source)
        found = [_named(first, names) or _named(source.sample, names) for names in (ids, texts, ("title",))]
        if found[0] is None or found[1] is None:
            raise InputError(
                expected=f"{table} with a column {ids[0]} or {ids[1]} and a column {texts[0]} or {texts[1]}",
                got=f"the columns {', '.join(source.sample) or 'of a run'} in {source.path}",
                remedy="rename its columns",
            )
        named = [column and sql_name(column) for column in found]
        title = named[2] if named[2] and table == "passages" else "NULL"
        texts_there = NOT_BLANK.format(named[1]) if table == "queries" else f"{named[1]} IS NOT NULL"
        checks = {f"{named[0]} IS NOT NULL": "an id", texts_there: "a text"}
        with self.reader.reading(source, dict.fromkeys(filter(None, found), TEXT), checks) as (_, checked):
            self._run(f"INSERT INTO {table} SELECT DISTINCT {named[0]}, {title}, {named[1]} FROM {checked}")

    def settle(self) -> list[str]:
        """Each pair and each id once, and only queries with pairs.

        Returns:
            What was left out, in sentences.

        Raises:
            InputError: If there are no pairs, or no texts for them.
        """
        notes = [*self._each_pair_once(), *self._each_id_once("queries"), *self._each_id_once("passages")]
        for table, column, option in (("queries", "query_id", "--queries"), ("passages", "passage_id", "--corpus")):
            total = self._number(f"SELECT count(DISTINCT {column}) FROM pairs")
            without = self._number(f"SELECT count(DISTINCT {column}) FROM pairs ANTI JOIN {table} ON {column} = id")
            if without == total:
                raise InputError(
                    expected=f"texts of the {table}",
                    got=f"none for any of {total:,} ids" if total else "no pairs at all",
                    remedy=f"name the file with their ids and texts as {option}" if total else "name another file",
                )
            if without:
                notes.append(f"{without:,} of {total:,} {table} have scores and no text and are left out.")
        if more := self._number("SELECT count(*) FROM queries ANTI JOIN pairs ON query_id = id"):
            self._run("DELETE FROM queries WHERE id NOT IN (SELECT query_id FROM pairs)")
            notes.append(f"{more:,} queries have no row and are left out.")
        return notes

    def write(self, folder: Path) -> int:
        """Writes ``corpus.jsonl``, ``queries.jsonl`` and ``scores.parquet``; where it can ``qrels/train.tsv`` too.

        Where no pair has a score, ``pairs.parquet`` takes their place.

        Returns:
            The number of pairs with a score.
        """
        self._copy(
            "SELECT id AS _id, coalesce(title, '') AS title, text FROM passages ORDER BY id", folder / "corpus.jsonl"
        )
        self._copy("SELECT id AS _id, text FROM queries ORDER BY id", folder / "queries.jsonl")
        known = "FROM pairs SEMI JOIN queries AS q ON query_id = q.id SEMI JOIN passages AS p ON passage_id = p.id"
        rows = self._run(f"SELECT query_id, passage_id, grade {known} WHERE grade >= 1 ORDER BY n").fetchall()
        if rows:
            (folder / "qrels").mkdir()
            write_qrels(folder / "qrels" / "train.tsv", by_query(*zip(*rows)))
        scored = self._number(f"SELECT count(score) {known}")
        columns, name = (
            ("query_id, passage_id, score::FLOAT AS score", "scores") if scored else ("query_id, passage_id", "pairs")
        )
        wanted = "WHERE score IS NOT NULL" if scored else ""
        self._copy(f"SELECT {columns} {known} {wanted} ORDER BY n", folder / f"{name}.parquet")
        return scored

    def _each_pair_once(self) -> list[str]:
        """The table ``pairs`` with a number ``n`` for the order of the file; of a pair's scores the first counts."""
        total = self._number("SELECT count(*) FROM pairs")
        distinct = self._number("SELECT count(DISTINCT hash(query_id, passage_id)) FROM pairs")
        self._run("ALTER TABLE pairs RENAME TO given")
        if distinct == total:
            self._run("CREATE VIEW pairs AS SELECT *, rowid AS n FROM given")
            return []
        self._run(
            "CREATE TABLE pairs AS SELECT query_id, passage_id, "
            "arg_min(score, rowid) FILTER (score IS NOT NULL) AS score, max(grade) AS grade, min(rowid) AS n, "
            "max(score) <> min(score) AS differ FROM given GROUP BY query_id, passage_id"
        )
        differ = self._number("SELECT count(*) FROM pairs WHERE differ")
        return [f"{differ:,} pairs have several scores; the first one counts."] if differ else []

    def _each_id_once(self, table: str) -> list[str]:
        more = self._number(f"SELECT count(*) - count(DISTINCT id) FROM {table}")
        if not more:
            return []
        self._run(
            f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM {table} "
            "QUALIFY row_number() OVER (PARTITION BY id ORDER BY text, title) = 1"
        )
        return [f"{more:,} {table} have the id of another one with other text; the first by their text counts."]

    def _copy(self, query: str, path: Path) -> None:
        kind = "json" if path.suffix == ".jsonl" else "parquet"
        self._run(f"COPY ({query}) TO {sql_text(path)} (FORMAT {kind})")

    def _run(self, query: str) -> duckdb.DuckDBPyConnection:
        return self._database.execute(query)

    def _number(self, query: str) -> int:
        return int((self._run(query).fetchone() or (0,))[0])


def _ids(columns: Columns) -> tuple[str, str]:
    """SQL of a record's query id and passage ids; where a form has none, or a record, they are made from the texts."""
    query_key = "NULL" if columns.query == "NULL" else KEY.format(columns.query)
    keys = f"[{KEY.format('x')} for x in {columns.passages}]"
    return f"coalesce({columns.query_id}, {query_key})", keys if columns.passage_ids == "NULL" else columns.passage_ids


def _checks(columns: Columns) -> dict[str, str]:
    query_id, passage_ids = _ids(columns)
    scores, items = columns.scores, columns.passages if columns.passage_ids == "NULL" else passage_ids
    checks = {f"{query_id} <> ''": "a query", **columns.checks}
    if columns.query != "NULL":
        checks[NOT_BLANK.format(columns.query)] = "a query"
    for each in filter(lambda each: each != "NULL", (columns.passages, columns.passage_ids)):
        checks[f"list_aggregate({each}, 'count') = len({each})"] = "a list of passages, none of them missing"
    if scores != "NULL":
        bounds = (f"coalesce(list_aggregate({scores}, '{end}'), 0)" for end in ("min", "max"))
        low, high = bounds
        checks[f"({scores}) IS NULL OR len({scores}) = len({items})"] = "a score for each passage"
        checks[f"{low} >= -{LARGEST!r} AND {high} <= {LARGEST!r}"] = "scores that fit single precision"
    if columns.grades != "NULL":
        checks[f"({columns.grades}) IS NULL OR len({columns.grades}) = len({items})"] = "a label for each passage"
    return checks


def _named(sample: Mapping[str, Any], names: Iterable[str]) -> str | None:
    """The first column by one of these names, without case, "-", "_" and blanks."""
    plain = {plain_key(column): column for column in reversed(list(sample))}
    return next((plain[name] for name in names if name in plain), None)
