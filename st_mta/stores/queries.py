"""Queries that were generated from passages: append-only Parquet parts, one folder per generator fingerprint."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.stores.damage import rename_damaged
from st_mta.stores.keys import KeyArray
from st_mta.stores.locks import LOCKS, open_lock, take
from st_mta.stores.parts import Verified, listed, write_part
from st_mta.stores.uses import Uses
from st_mta.stores.writable import usable

SUFFIX = ".parquet"
SCHEMA = pa.schema([("passage", pa.uint64()), ("queries", pa.list_(pa.large_string()))])
LOOK = 0.2  # seconds between two looks at a lock


class QueryStore:
    """Generated queries by generator fingerprint and content key of the passage: none is generated twice.

    A killed process loses at most the part in flight; a part that is damaged is renamed, and generated anew.

    Args:
        folder: Holds a folder per generator.
        uses: Notes which generators are in use.
    """

    def __init__(self, folder: Path, uses: Uses | None = None) -> None:
        self.folder, self.uses = folder, uses
        self._verified = Verified()

    def append(self, fingerprint: str, keys: KeyArray, queries: Sequence[Sequence[str]]) -> None:
        """Writes one part: the queries of n passages, which may be none of some.

        Raises:
            InputError: If the disk is full or cannot be written.
        """
        table = pa.table([pa.array(keys), pa.array([list(some) for some in queries])], schema=SCHEMA)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_part(self.folder / fingerprint, {SUFFIX: [memoryview(sink.getvalue())]})

    def lookup(self, fingerprint: str, keys: KeyArray) -> list[list[str] | None]:
        """The queries of n passages, None where they were never generated."""
        if self.uses is not None:
            self.uses.mark(fingerprint)
        tables = [table for part in self._parts(fingerprint) if (table := self._read(part)) is not None]
        stored = pa.concat_tables([SCHEMA.empty_table(), *tables])
        known, first = np.unique(stored["passage"].to_numpy(), return_index=True)
        place = np.searchsorted(known, keys)
        found = np.isin(keys, known)
        queries = iter(stored["queries"].take(pa.array(first[place[found]])).to_pylist())
        return [next(queries) if there else None for there in found.tolist()]

    @contextmanager
    def alone(self, fingerprint: str) -> Iterator[None]:
        """Within it no other process generates by the same generator; waits for one that does, as long as it lives.

        Look into the store inside the block: the process waited for may have stored what is wanted.
        """
        path = self.folder / LOCKS / f"{fingerprint}.claims"
        with usable(self.folder):
            descriptor = open_lock(path)
        try:
            while not take(descriptor):
                time.sleep(LOOK)
            yield
        finally:
            os.close(descriptor)

    def count(self, fingerprint: str) -> int:
        """Passages stored of a generator."""
        tables = [table for part in self._parts(fingerprint) if (table := self._read(part)) is not None]
        return sum(len(table) for table in tables)

    def _parts(self, fingerprint: str) -> list[Path]:
        return [Path(entry.path) for entry in listed(self.folder / fingerprint, SUFFIX)]

    def _read(self, part: Path) -> pa.Table | None:
        """A part's rows; None after renaming a damaged one, or if it is gone."""
        try:
            if problem := self._verified.problem(part):
                raise ValueError(problem)
            return pq.read_table(part).cast(SCHEMA)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, pa.ArrowException) as error:
            rename_damaged([part], " ".join(str(error).split()), "its queries will be generated again")
            return None
