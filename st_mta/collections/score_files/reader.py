"""A file of records as DuckDB reads it: all its columns, and what is malformed refused with its line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

import duckdb

from st_mta.collections.score_files.forms import TEXT
from st_mta.collections.score_files.kinds import WANTED, holds_texts, no_texts
from st_mta.collections.score_files.source import Source, is_zipped
from st_mta.collections.score_files.sql import sql_name, sql_text
from st_mta.errors import InputError


class Reader:
    """Reads files of records into a database.

    Args:
        database: Where they are read.
        folder: For copies of files that DuckDB cannot read as they are; it is the caller's to delete.
    """

    def __init__(self, database: duckdb.DuckDBPyConnection, folder: Path) -> None:
        self._database = database
        self._folder = folder
        self._plain: dict[Path, Path] = {}

    def survey(self, source: Source) -> Source:
        """The file with the columns of all its records, not only of the first, and a value of each that has one.

        Of values of different kinds the smallest as text counts, so that it does not depend on how the file is read.
        """
        missing = [name for name in self._columns(source) if source.sample.get(name) is None]
        sample = dict(source.sample)
        while missing:  # DuckDB takes names that differ only in case for one
            group = {name.lower(): name for name in reversed(missing)}
            missing = [name for name in missing if group[name.lower()] != name]
            sample |= self._values(source, list(group.values()))
        return replace(source, sample=sample)

    def refuse_column(self, source: Source, column: str, expected: str) -> NoReturn:
        """Raises ``InputError`` for the first record with this column."""
        row = 0
        if source.is_json:
            with self._linked(source, {}) as link:
                numbered = f"(SELECT row_number() OVER () - 1 AS row, json FROM {source.objects(link)})"
                found = f"list_contains(json_keys(json), {sql_text(column)})"
                row = self._rows(f"SELECT min(row) FROM {numbered} WHERE {found}")[0][0]
        source.refuse(row, expected, f'the column "{column}"')

    def _columns(self, source: Source) -> list[str]:
        if not source.is_json:
            return list(source.sample)
        with self._linked(source, {}) as link:
            names = f"SELECT DISTINCT unnest(json_keys(json)) AS name FROM {source.objects(link)} ORDER BY name"
            return [name for (name,) in self._rows(names)]

    def _values(self, source: Source, names: list[str]) -> dict[str, Any]:
        """A value of each of these columns; those without any are left out."""
        types = dict.fromkeys(names, "JSON")
        with self._linked(source, types) as link:
            values = ", ".join(f"min({sql_name(name)}::VARCHAR)" for name in names)
            (row,) = self._rows(f"SELECT {values} FROM {source.relation(types, link)}")
        return {name: json.loads(value) for name, value in zip(names, row) if value is not None}

    @contextmanager
    def reading(
        self, source: Source, types: Mapping[str, str], checks: Mapping[str, str]
    ) -> Iterator[tuple[str, str]]:
        """Within it, SQL for the records, unchecked and checked: there a malformed one becomes an ``InputError``."""
        with self._linked(source, types) as link:
            self._refuse_no_texts(source, types, link)
            relation = source.relation(types, link)
            guards = (
                f"CASE WHEN coalesce(({check}), false) THEN true ELSE error('malformed') END" for check in checks
            )
            try:
                yield relation, f"(SELECT * FROM {relation} WHERE {' AND '.join(guards)})"
            except duckdb.Error as error:
                if not _is_of_machine(error):
                    self._refuse_malformed(source, relation, checks)
                raise

    @contextmanager
    def _linked(self, source: Source, types: Mapping[str, str]) -> Iterator[Path]:
        """Within it, a path by which DuckDB reads the file; what it cannot read becomes an ``InputError``."""
        with TemporaryDirectory() as folder:
            link = Path(folder) / "records"
            if source.table is None:
                if source.path not in self._plain:
                    self._plain[source.path] = source.plain(self._folder / f"plain-{len(self._plain)}")
                plain = self._plain[source.path]
                link = link.with_suffix(".gz" if is_zipped(plain) else "")
                link.symlink_to(plain)
            else:
                self._database.register("dataset", source.table)
            try:
                yield link
            except duckdb.Error as error:
                source.refuse_broken()
                if _is_of_machine(error):
                    raise
                source.refuse_unreadable(types, error, link)

    def _refuse_no_texts(self, source: Source, types: Mapping[str, str], link: Path) -> None:
        """Lists, objects and bytes where a text belongs would become texts of their signs."""
        texts = {column: kind for column, kind in types.items() if kind in WANTED}
        if not source.is_json:
            _refuse_types(source, texts)
            return
        relation = source.relation({name: kind.replace(TEXT, "JSON") for name, kind in texts.items()}, link)
        wrong = {column: no_texts(column, kind) for column, kind in texts.items()}
        if not self._rows(f"SELECT 1 FROM {relation} WHERE {' OR '.join(wrong.values())} LIMIT 1"):
            return
        for column, condition in wrong.items():
            numbered = f"(SELECT row_number() OVER () - 1 AS row, * FROM {relation})"
            shown = f"SELECT row, {sql_name(column)}::JSON::VARCHAR FROM {numbered} WHERE {condition} LIMIT 1"
            for row, value in self._rows(shown):
                source.refuse(row, f'{WANTED[types[column]]} under "{column}"', value[:200])

    def _refuse_malformed(self, source: Source, relation: str, checks: Mapping[str, str]) -> None:
        """Names the first record that fails a check; nothing where the records cannot even be read."""
        numbered = f"(SELECT row_number() OVER () - 1 AS row, * FROM {relation})"
        for check, expected in checks.items():
            try:
                wrong = self._rows(f"SELECT * FROM {numbered} WHERE NOT coalesce(({check}), false) LIMIT 1")
            except duckdb.Error:
                return
            if wrong:
                source.refuse(wrong[0][0], expected, json.dumps(wrong[0][1:], default=str)[:200])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self._database.execute(query).fetchall()
        return rows


def _is_of_machine(error: duckdb.Error) -> bool:
    """Whether memory or disk are at fault, not the file."""
    return "out of memory" in str(error).lower() or isinstance(error, duckdb.IOException)


def _refuse_types(source: Source, kinds: Mapping[str, str]) -> None:
    schema = source.schema
    for column, kind in kinds.items():
        if schema is not None and column in schema.names and not holds_texts(schema.field(column).type, kind):
            raise InputError(
                expected=f'{WANTED[kind]} under "{column}" in {source.path}',
                got=f"a column of the type {schema.field(column).type}",
                remedy="convert the column, or rename it if it is none of the passages",
            )
