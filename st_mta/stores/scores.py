"""Scores of (query, passage) pairs: append-only Parquet parts, one folder per scorer fingerprint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.stores.claims import claimed
from st_mta.stores.compaction import compact
from st_mta.stores.damage import rename_damaged
from st_mta.stores.finite import check_finite
from st_mta.stores.keys import KeyArray
from st_mta.stores.locks import LOCKS
from st_mta.stores.news import News, mixed_keys
from st_mta.stores.parts import ATTEMPTS, Verified, listed, write_part
from st_mta.stores.spill import spill_name
from st_mta.stores.uses import Uses
from st_mta.types import FloatArray, IntArray, starts_of

SUFFIX = ".parquet"
SCHEMA = pa.schema([("query", pa.uint64()), ("passage", pa.uint64()), ("score", pa.float32())])
SLICE = 2**24  # pairs looked up at once: the hash table of a join over this many takes some 600 MB
MEMORY_LIMIT = "4GB"
SMALL, MERGED_ROWS = 2**22, 2**22
"""Parts of fewer bytes are merged once there are many, into parts of about so many rows."""


class ScoreStore:
    """Scores by scorer fingerprint and content keys, so that a pair is scored once in the life of the store.

    Every part is written under a temporary name and renamed when whole: a killed process loses at most the part
    in flight, several processes may write at once, and a pair that stands in two parts does no harm. A part's name
    holds the digest of its bytes, which is compared once per process before the part is believed.

    Args:
        folder: Where the folders of the scorers lie, and one for joins that do not fit in memory.
        uses: Notes which scorers are in use.
    """

    def __init__(self, folder: Path, uses: Uses | None = None) -> None:
        self.folder, self.uses = folder, uses
        self._verified = Verified()
        self._seen: dict[str, set[str]] = {}
        self._news_of: dict[str, News] = {}

    def append(
        self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, scores: npt.NDArray[np.floating]
    ) -> None:
        """Writes the scores (P,) of pairs, given by the content keys (P,) of their texts, as one part.

        Raises:
            InputError: If a score is not finite (nothing is written then), or the disk is full or cannot be written.
        """
        if len(scores) == 0:
            return
        keys = "query key {} and passage key {}".format
        check_finite(f"scores of scorer {fingerprint}", scores, lambda i: keys(query_keys[i], passage_keys[i]))
        self._mark(fingerprint)
        part = self._write(fingerprint, query_keys, passage_keys, np.asarray(scores, dtype=np.float32))
        self._seen.setdefault(fingerprint, set()).add(part)

    def lookup(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        """The stored scores of P pairs.

        A part that is damaged is renamed with a warning; its pairs count as missing.

        Returns:
            (P,) float32, NaN where the pair was never scored.
        """
        self._mark(fingerprint)
        lock = self.folder / LOCKS / f"{fingerprint}.merge"
        compact(self.folder / fingerprint, lock, SUFFIX, SMALL, partial(self._merge, fingerprint))
        scores, seen = np.full(len(query_keys), np.nan, dtype=np.float32), self._names(fingerprint)
        for start in range(0, len(scores), SLICE):
            part_of = slice(start, start + SLICE)
            scores[part_of] = self._join(fingerprint, query_keys[part_of], passage_keys[part_of])
        self._seen[fingerprint] = seen
        self._news_of.pop(fingerprint, None)
        return scores

    @contextmanager
    def claim(
        self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, wait: bool = False
    ) -> Iterator[tuple[npt.NDArray[np.bool_], FloatArray]]:
        """Claims P missing pairs for this block, so that no other process scores them in the meantime.

        Args:
            fingerprint: The scorer.
            query_keys: (P,).
            passage_keys: (P,).
            wait: Waits for pairs that others are scoring, instead of leaving them out.

        Yields:
            (P,) which pairs nobody else is scoring, and (P,) float32 scores stored since they were looked up, or NaN.

        Raises:
            InputError: If the store cannot be written.
        """
        with claimed(self.folder, fingerprint, mixed_keys(query_keys, passage_keys), wait) as free:
            yield free, self._news(fingerprint, query_keys, passage_keys)

    def parts(self, fingerprint: str) -> list[Path]:
        """The whole parts of a scorer; damaged ones are renamed."""
        found = [Path(entry.path) for entry in listed(self.folder / fingerprint, SUFFIX)]
        return [part for part in found if self._is_whole(part)]

    def count(self, fingerprint: str) -> int:
        """Rows stored of a scorer (a pair written twice counts twice), as its parts say; they are not read."""
        found = [Path(entry.path) for entry in listed(self.folder / fingerprint, SUFFIX)]
        return sum(_rows_of(part) for part in found)

    def per_query(self, fingerprint: str, query_keys: KeyArray) -> IntArray:
        """How many pairs are stored of each of these queries (Q,); nothing is written or marked as used.

        A pair that was written twice counts twice.
        """
        counts = np.zeros(len(query_keys), dtype=np.int64)
        for part in self.parts(fingerprint):
            with pq.ParquetFile(part) as file:
                keys = file.read(["query"], use_threads=False)["query"].to_numpy()
            distinct, stored = np.unique(keys, return_counts=True)
            place = np.searchsorted(distinct, query_keys).clip(max=max(0, len(distinct) - 1))
            counts += np.where(distinct[place] == query_keys, stored[place], 0) if len(distinct) else 0
        return counts

    def _mark(self, fingerprint: str) -> None:
        if self.uses is not None:
            self.uses.mark(fingerprint)

    def _write(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, scores: FloatArray) -> str:
        # Sorted keys compress better and let a join skip row groups.
        order = np.lexsort((passage_keys, query_keys))
        columns = [query_keys[order], passage_keys[order], scores[order]]
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(columns, schema=SCHEMA), sink, compression="zstd")
        return write_part(self.folder / fingerprint, {SUFFIX: [memoryview(sink.getvalue())]}) + SUFFIX

    def _is_whole(self, part: Path) -> bool:
        """Whether a part is as it was written; one that is not is renamed, one that is gone is not."""
        try:
            problem = self._verified.problem(part)
            if not problem and not self._verified.is_known(part):  # written before there were digests
                problem = "" if pq.read_schema(part).equals(SCHEMA) else "its columns are not query, passage, score"
                self._verified.remember(part)
        except FileNotFoundError:
            return False
        except (pa.ArrowException, OSError) as error:
            problem = str(error)
        if problem:
            _set_aside(part, problem)
        return not problem

    def _names(self, fingerprint: str) -> set[str]:
        return {entry.name for entry in listed(self.folder / fingerprint, SUFFIX)}

    def _news(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        """Scores of pairs in the parts that others wrote since the last look-up."""
        seen, news = self._seen.get(fingerprint, set()), self._news_of.setdefault(fingerprint, News())
        for name in sorted(self._names(fingerprint) - seen - news.parts):
            part = self.folder / fingerprint / name
            # One that is gone was merged: its rows stand in another.
            if self._is_whole(part) and (table := _table_of(part)) is not None:
                news.add(*(column.to_numpy() for column in table.columns))
            news.parts.add(name)
        return news.find(query_keys, passage_keys)

    def _join(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        """Scores of pairs in the parts, NaN where there are none."""
        for left in reversed(range(ATTEMPTS)):
            parts = self.parts(fingerprint)
            try:
                return self._join_whole(parts, query_keys, passage_keys)
            except duckdb.Error:
                vanished = not all(part.exists() for part in parts)  # merged or cleared by another process
                if not left or not (vanished or _set_aside_unreadable(parts)):
                    raise
        raise AssertionError("the last attempt returns or raises")

    def _join_whole(self, parts: list[Path], query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        scores = np.full(len(query_keys), np.inf if parts else np.nan, dtype=np.float32)
        if not parts:
            return scores
        wanted = pa.table({"query": query_keys, "passage": passage_keys, "position": np.arange(len(query_keys))})
        with self._connection() as connection:
            connection.register("wanted", wanted)
            connection.read_parquet([str(part) for part in parts]).create_view("stored")
            # What is no number can only stand in a part without a digest, and must not hide a score computed since.
            joined = connection.sql(
                "SELECT position, score FROM stored JOIN wanted USING (query, passage) WHERE isfinite(score)"
            )
            for batch in pa.RecordBatchReader.from_stream(joined):
                # The smallest of several scores of a pair, so that the answer does not depend on the order of parts.
                np.minimum.at(scores, batch["position"].to_numpy(), batch["score"].to_numpy())
        scores[np.isinf(scores)] = np.nan
        return scores

    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")  # beyond it DuckDB spills to disk
        connection.execute("SET preserve_insertion_order = false")
        # DuckDB makes it where it is needed, and deletes it.
        spill = str(self.folder / spill_name()).replace("'", "''")
        connection.execute(f"SET temp_directory = '{spill}'")
        return connection

    def _merge(self, fingerprint: str, parts: list[Path]) -> Iterator[list[Path]]:
        """Writes parts anew as few large ones; gives those that are no longer needed."""
        tables: list[pa.Table] = []
        merged: list[Path] = []
        rows = 0
        for part in parts:
            if self._is_whole(part) and (table := _table_of(part)) is not None:
                tables.append(table)
                merged.append(part)
                rows += len(table)
            if merged and (part is parts[-1] or rows >= MERGED_ROWS):
                self._write(fingerprint, *_distinct(pa.concat_tables(tables)))
                yield merged
                tables, merged, rows = [], [], 0


def _distinct(table: pa.Table) -> tuple[KeyArray, KeyArray, FloatArray]:
    """The pairs of a table, each once, with the smallest of its scores."""
    queries, passages, scores = (column.to_numpy() for column in table.columns)
    order = np.lexsort((scores, passages, queries))  # what is no number comes last
    queries, passages, scores = queries[order], passages[order], scores[order]
    first = starts_of(queries, passages) & np.isfinite(scores)
    return queries[first], passages[first], scores[first]


def _table_of(part: Path) -> pa.Table | None:
    """A part's rows; None after renaming one that cannot be read, or if it is gone."""
    try:
        with pq.ParquetFile(part, memory_map=False) as file:
            table = file.read(use_threads=False)
        if not table.schema.equals(SCHEMA):
            raise pa.ArrowInvalid("its columns are not query, passage, score")
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        _set_aside(part, str(error))
        return None
    return table


def _rows_of(part: Path) -> int:
    try:
        return int(pq.read_metadata(part).num_rows)
    except (pa.ArrowException, OSError):
        return 0


def _set_aside(part: Path, problem: str) -> None:
    rename_damaged([part], problem, "its pairs will be scored again")


def _set_aside_unreadable(parts: list[Path]) -> bool:
    """Renames parts whose footer is whole and whose pages are not; whether there were any."""
    for part in parts:
        if _table_of(part) is None:
            continue
        try:
            with duckdb.connect() as connection:
                connection.read_parquet(str(part)).aggregate("sum(score), max(query), max(passage)").fetchall()
        except duckdb.Error as error:
            _set_aside(part, " ".join(str(error).split()))
    return not all(part.exists() for part in parts)
