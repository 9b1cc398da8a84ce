"""Scores of (query, passage) pairs: append-only Parquet parts, one folder per scorer fingerprint."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.stores.damage import rename_damaged
from st_mta.stores.finite import check_finite
from st_mta.stores.keys import KeyArray
from st_mta.types import FloatArray

SCHEMA = pa.schema([("query", pa.uint64()), ("passage", pa.uint64()), ("score", pa.float32())])
SLICE = 2**24  # pairs looked up at once: the hash table of a join over this many takes some 600 MB
MEMORY_LIMIT = "4GB"


class ScoreStore:
    """Scores by scorer fingerprint and content keys, so that a pair is scored once in the life of the store.

    Every part is written under a temporary name and renamed when whole: a killed process loses at most the part
    in flight, several processes may write at once, and a pair that stands in two parts does no harm.

    Args:
        folder: Where the folders of the scorers lie, and one for joins that do not fit in memory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.spill = folder, folder / "spill"
        self._sound: set[Path] = set()

    def append(
        self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray, scores: npt.NDArray[np.floating]
    ) -> None:
        """Writes the scores (P,) of pairs, given by the content keys (P,) of their texts, as one part.

        Raises:
            InputError: If a score is not finite (nothing is written then), or the disk is full.
        """
        if len(scores) == 0:
            return
        keys = "query key {} and passage key {}".format
        check_finite(f"scores of scorer {fingerprint}", scores, lambda i: keys(query_keys[i], passage_keys[i]))
        # Sorted keys compress better and let a join skip row groups.
        order = np.lexsort((passage_keys, query_keys))
        columns = [query_keys[order], passage_keys[order], np.asarray(scores, dtype=np.float32)[order]]
        part = self.folder / fingerprint / f"part-{uuid.uuid4().hex}.parquet"
        with atomic_path(part) as temporary:
            pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
        self._sound.add(part)

    def lookup(self, fingerprint: str, query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        """The stored scores of P pairs.

        A part that cannot be read is renamed with a warning; its pairs count as missing.

        Returns:
            (P,) float32, NaN where the pair was never scored.
        """
        parts = self.parts(fingerprint)
        scores = np.full(len(query_keys), np.nan, dtype=np.float32)
        for start in range(0, len(scores), SLICE):
            part_of = slice(start, start + SLICE)
            scores[part_of] = self._join(parts, query_keys[part_of], passage_keys[part_of])
        return scores

    def parts(self, fingerprint: str) -> list[Path]:
        """The readable parts of a scorer; unreadable ones are renamed."""
        found = sorted((self.folder / fingerprint).glob("part-*.parquet"))
        return [part for part in found if part in self._sound or self._is_sound(part, pq.read_schema)]

    def count(self, fingerprint: str) -> int:
        """Rows stored of a scorer (a pair written twice counts twice)."""
        return sum(pq.read_metadata(part).num_rows for part in self.parts(fingerprint))

    def _is_sound(self, part: Path, read: Callable[[Path], pa.Schema]) -> bool:
        """Whether a part can be read and has our columns; one that is not is renamed."""
        try:
            problem = "" if read(part).equals(SCHEMA) else "its columns are not query, passage, score"
        except (pa.ArrowException, OSError) as error:
            problem = str(error)
        if problem:
            rename_damaged([part], problem, "its pairs will be scored again")
        else:
            self._sound.add(part)
        return not problem

    def _join(self, parts: list[Path], query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        try:
            return self._join_sound(parts, query_keys, passage_keys)
        except duckdb.Error:
            # A whole footer may hide a broken page: read every part fully once, then try without the broken ones.
            sound = [p for p in parts if p.exists() and self._is_sound(p, lambda part: pq.read_table(part).schema)]
            if len(sound) == len(parts):
                raise
            return self._join_sound(sound, query_keys, passage_keys)

    def _join_sound(self, parts: list[Path], query_keys: KeyArray, passage_keys: KeyArray) -> FloatArray:
        scores = np.full(len(query_keys), np.inf if parts else np.nan, dtype=np.float32)
        if not parts:
            return scores
        wanted = pa.table({"query": query_keys, "passage": passage_keys, "position": np.arange(len(query_keys))})
        with self._connection() as connection:
            connection.register("wanted", wanted)
            connection.read_parquet([str(part) for part in parts]).create_view("stored")
            joined = connection.sql("SELECT position, score FROM stored JOIN wanted USING (query, passage)")
            for batch in pa.RecordBatchReader.from_stream(joined):
                # The smallest of several scores of a pair, so that the answer does not depend on the order of parts.
                np.minimum.at(scores, batch["position"].to_numpy(), batch["score"].to_numpy())
        scores[np.isinf(scores)] = np.nan
        return scores

    def _connection(self) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect()
        connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")  # beyond it DuckDB spills to disk
        connection.execute("SET preserve_insertion_order = false")
        spill = str(self.spill).replace("'", "''")
        connection.execute(f"SET temp_directory = '{spill}'")
        return connection
