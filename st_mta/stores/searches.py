"""Results of searches: the best passages of each query, one folder per scorer fingerprint and corpus."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.errors import InputError
from st_mta.stores.claims import claimed
from st_mta.stores.compaction import compact
from st_mta.stores.damage import rename_damaged
from st_mta.stores.keys import KeyArray, text_keys
from st_mta.stores.ledger import Ledger
from st_mta.stores.locks import LOCKS, open_lock
from st_mta.stores.parts import ATTEMPTS, Verified, listed, write_part
from st_mta.stores.uses import Uses
from st_mta.types import BoolArray, FloatArray, IntArray, Texts

VERSION = "exact-1"
"""Raised when a search finds or scores passages otherwise than before, so that what is stored is not taken for it."""
SUFFIX = ".parquet"
QUERIES_PER_PART = 2**14
DEPTH_STEP = 8
"""Searches go to a multiple of this depth: a few ranks more cost little, and answer the next who asks for one more."""
SMALL, MERGED_ROWS = 2**20, 2**15
"""Parts of fewer bytes are merged once there are many, into parts of about so many queries."""

Search = Callable[[IntArray, int], tuple[FloatArray, IntArray]]
"""Rows of the queries asked for and a depth -> scores (n, depth) and positions (n, depth), best first."""

_digests: WeakKeyDictionary[Texts, str] = WeakKeyDictionary()


class _Head(NamedTuple):
    """What a part says without its results being read: the keys of its queries, ascending, and its depth."""

    keys: KeyArray
    depth: int


class SearchStore:
    """The best passages of a query by scorer fingerprint, corpus and text key, so that a search is made once.

    A deeper search answers a shallower one: a search is exact, and of equal scores the lower position comes first, so
    that its beginning is what the shallower one would find. Results are those of the embeddings at that time; texts
    that are encoded again, after damage, may score differently in the last digit.

    Parts are written, verified, claimed and merged as those of [`st_mta.stores.scores`]. A store that can only be read
    gives what it holds, and the rest is searched and not kept.

    Args:
        folder: Where the folders of the scorers lie.
        ledger: Counts what was searched and what was reused.
        uses: Notes which scorers are in use.
    """

    def __init__(self, folder: Path, ledger: Ledger | None = None, uses: Uses | None = None) -> None:
        self.folder, self.uses = folder, uses
        self.ledger = ledger if ledger is not None else Ledger()
        self._verified = Verified()
        self._heads: dict[Path, _Head] = {}
        self._unusable: set[Path] = set()

    def get(
        self, fingerprint: str, queries: Texts, corpus: Texts, query_positions: IntArray, k: int, search: Search
    ) -> tuple[FloatArray, IntArray]:
        """The k best passages of each query; what is not in the store is searched, and stored part by part.

        Args:
            fingerprint: The scorer.
            queries: The table of queries.
            corpus: The passages; their order counts.
            query_positions: (Q,) positions in the queries, repeats allowed.
            k: Passages per query.
            search: Searches the corpus for some of these queries, given by their rows (0..Q-1).

        Returns:
            Scores (Q, k) float32 and positions (Q, k) int64, with -inf and -1 where there are fewer.

        Raises:
            InputError: If the disk is full, or the store is cleared again and again.
        """
        room = _Room(self.folder, fingerprint, corpus_digest(corpus))
        keys, depth = text_keys(queries)[query_positions], min(k, len(corpus))
        results = _nothing(len(keys), k)
        if depth == 0 or not len(keys):
            return results
        self._prepare(room)
        searched = 0
        for _ in range(ATTEMPTS):
            missing = np.flatnonzero(~self._look_up(room, keys, depth, results))
            if not len(missing) or not room.can_be_written():
                break
            wanted = np.sort(missing[np.unique(keys[missing], return_index=True)[1]])
            searched += self._search(room, keys, wanted, stored_depth(depth, len(corpus)), search)
        else:
            raise InputError(
                expected=f"what was stored in {self.folder} to stay there while it is used",
                got=f"searches of {len(missing)} queries that vanished as soon as they were written",
                remedy="find out which other program deletes them, and run the same command again",
            )
        if len(missing):
            results[0][missing, :depth], results[1][missing, :depth] = search(missing, depth)
        searched += len(np.unique(keys[missing]))
        self.ledger.queries_searched += searched
        self.ledger.searches_reused += max(0, len(np.unique(keys)) - searched)
        return results

    def count(self, fingerprint: str) -> int:
        """Queries whose searches of a corpus are stored of a scorer, as the parts say; their results are not read."""
        return sum(_rows_of(part) for part in (self.folder / fingerprint).glob(f"*/part-*{SUFFIX}"))

    def known(self, fingerprint: str, corpus: Texts, keys: KeyArray, k: int) -> BoolArray:
        """Of which queries (Q,), by their keys, a search as deep is stored; nothing is written or marked as used."""
        found, depth = np.zeros(len(keys), dtype=bool), min(k, len(corpus))
        for _, head in self._parts(_Room(self.folder, fingerprint, corpus_digest(corpus)).path):
            if head.depth >= depth:
                found |= np.isin(keys, head.keys)
        return found

    def _prepare(self, room: _Room) -> None:
        if self.uses is not None:
            self.uses.mark(room.fingerprint)
        compact(room.path, room.lock("merge"), SUFFIX, SMALL, partial(self._merge, room.path))

    def _look_up(self, room: _Room, keys: KeyArray, depth: int, results: tuple[FloatArray, IntArray]) -> BoolArray:
        """Fills in what is stored of the queries with these keys (Q,); which of them are (Q,)."""
        known = np.zeros(len(keys), dtype=bool)
        for part, head in self._parts(room.path):
            if head.depth < depth:
                continue
            place = np.searchsorted(head.keys, keys).clip(max=len(head.keys) - 1)
            rows = np.flatnonzero((head.keys[place] == keys) & ~known)
            if len(rows) and (table := self._table_of(part)) is not None:
                results[0][rows, :depth] = _matrix(table, "scores")[place[rows], :depth]
                results[1][rows, :depth] = _matrix(table, "passages")[place[rows], :depth]
                known[rows] = True
        return known

    def _search(self, room: _Room, keys: KeyArray, wanted: IntArray, depth: int, search: Search) -> int:
        """Searches for rows of distinct keys, but for those that another process does; how many were searched here."""
        blocks = [wanted[start : start + QUERIES_PER_PART] for start in range(0, len(wanted), QUERIES_PER_PART)]
        searched = 0
        for wait in (False, True):
            left: list[IntArray] = []
            for block in blocks:
                with claimed(self.folder, room.name, keys[block], wait) as free:
                    known = self._look_up(room, keys[block], depth, _nothing(len(block), depth))
                    ours, others = block[~known & free], block[~known & ~free]
                    if len(ours):
                        _write(room.path, keys[ours], *search(ours, depth))
                searched += len(ours)
                left += [others] if len(others) else []
            blocks = left
        return searched

    def _parts(self, folder: Path) -> Iterator[tuple[Path, _Head]]:
        """The whole parts and their heads; damaged ones are renamed."""
        for entry in listed(folder, SUFFIX):
            part = Path(entry.path)
            if part not in self._heads and part not in self._unusable and (head := self._read_head(part)) is not None:
                self._heads[part] = head
            if part in self._heads:
                yield part, self._heads[part]

    def _read_head(self, part: Path) -> _Head | None:
        table = self._table_of(part, ["query"])
        return None if table is None else _Head(table["query"].to_numpy(), _depth_of(pq.read_schema(part)))

    def _table_of(self, part: Path, columns: list[str] | None = None) -> pa.Table | None:
        """Some columns of a part, or all; None after renaming a damaged one, or if it is gone."""
        try:
            problem = self._verified.problem(part)
            if not problem:
                with pq.ParquetFile(part) as file:
                    return file.read(columns, use_threads=False)
        except FileNotFoundError:
            problem = ""
        except (pa.ArrowException, OSError) as error:
            problem = str(error)
        if problem:
            rename_damaged([part], problem, "its queries will be searched for again")
            self._unusable.add(part)
        self._heads.pop(part, None)
        return None

    def _merge(self, folder: Path, parts: list[Path]) -> Iterator[list[Path]]:
        """Writes parts anew as few large ones of each depth; gives those that are no longer needed."""
        by_depth: dict[int, list[Path]] = defaultdict(list)
        for part, head in self._parts(folder):
            if part in parts:
                by_depth[head.depth].append(part)
        for group in by_depth.values():
            for some in _groups(group, [len(self._heads[part].keys) for part in group]):
                tables = [table for part in some if (table := self._table_of(part)) is not None]
                if len(tables) == len(some):  # or else one was renamed, and the others are merged another time
                    whole = pa.concat_tables(tables).combine_chunks()
                    keys, first = np.unique(whole["query"].to_numpy(), return_index=True)
                    _write(folder, keys, *(_matrix(whole, column)[first] for column in ("scores", "passages")))
                    yield some


class _Room(NamedTuple):
    """Where the searches of one scorer in one corpus lie."""

    folder: Path
    fingerprint: str
    corpus: str

    @property
    def name(self) -> str:
        return f"{self.fingerprint}-{self.corpus}"

    @property
    def path(self) -> Path:
        return self.folder / self.fingerprint / self.corpus

    def lock(self, suffix: str) -> Path:
        return self.folder / LOCKS / f"{self.name}.{suffix}"

    def can_be_written(self) -> bool:
        """Whether claims can be made; what is searched is worth having even where it cannot be kept."""
        try:
            os.close(open_lock(self.lock("claims")))
        except OSError:
            return False
        return True


def corpus_digest(corpus: Texts) -> str:
    """Digest of the passages' texts in their order, by which results name them, and of how they are searched."""
    if corpus not in _digests:
        digest = hashlib.blake2b(VERSION.encode(), digest_size=16)
        digest.update(text_keys(corpus).tobytes())
        _digests[corpus] = digest.hexdigest()
    return _digests[corpus]


def stored_depth(depth: int, size: int) -> int:
    """How deep a corpus of so many passages is searched where so many are asked for."""
    return min(-(-depth // DEPTH_STEP) * DEPTH_STEP, size)


def _nothing(queries: int, k: int) -> tuple[FloatArray, IntArray]:
    return np.full((queries, k), -np.inf, dtype=np.float32), np.full((queries, k), -1, dtype=np.int64)


def _write(folder: Path, keys: KeyArray, scores: FloatArray, passages: IntArray) -> None:
    """Writes the results (n, depth) of queries with distinct keys (n,) as one part, by key."""
    order, depth = np.argsort(keys), scores.shape[1]
    small = passages.max(initial=0) < 2**31
    columns = (scores[order], passages[order].astype(np.int32 if small else np.int64))
    arrays = [pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), depth) for column in columns]
    table = pa.table([pa.array(keys[order]), *arrays], names=["query", "scores", "passages"])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", use_dictionary=False, write_statistics=False)
    write_part(folder, {SUFFIX: [memoryview(sink.getvalue())]})


def _matrix(table: pa.Table, column: str) -> npt.NDArray[Any]:
    """A column of lists as a matrix (n, depth)."""
    lists = table[column].combine_chunks()
    return np.asarray(lists.flatten().to_numpy()).reshape(len(lists), -1)


def _depth_of(schema: pa.Schema) -> int:
    return int(schema.field("scores").type.list_size)


def _groups(parts: list[Path], rows: list[int]) -> Iterator[list[Path]]:
    """Consecutive parts of about ``MERGED_ROWS`` rows together."""
    number = np.cumsum(rows) // MERGED_ROWS
    for group in np.unique(number):
        yield [part for part, own in zip(parts, number) if own == group]


def _rows_of(part: Path) -> int:
    try:
        return int(pq.read_metadata(part).num_rows)
    except (pa.ArrowException, OSError):
        return 0
