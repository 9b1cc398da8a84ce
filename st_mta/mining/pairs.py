"""Candidates and scores as files with ids, for other programs and for the next command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.trec import COLUMNS, read_parquet, read_run, write_run
from st_mta.types import Candidates, Collection, FloatArray, IntArray, by_query

ROWS_AT_ONCE = 2**20  # of Parquet files, as many as their row groups have


def write_pairs(path: Path, collection: Collection, candidates: Candidates) -> None:
    """Parquet with ``query_id``, ``passage_id``, ``positive``, ``grade`` and ``source``, in the order of the lists."""
    queries, sources = candidates.pair_queries, pa.array(list(candidates.sources))

    def columns(block: slice) -> dict[str, Any]:
        return {
            "query_id": collection.queries.take_ids(queries[block]),
            "passage_id": collection.corpus.take_ids(candidates.passages[block]),
            "positive": candidates.positive[block],
            "grade": candidates.grades[block],
            "source": pa.DictionaryArray.from_arrays(pa.array(candidates.source[block]), sources),
        }

    _write_blocks(path, len(queries), columns)


def _write_blocks(path: Path, rows: int, columns: Callable[[slice], dict[str, Any]]) -> None:
    """Parquet, written block by block, so that there are never Python strings for all rows."""
    with atomic_path(path) as temporary, ExitStack() as stack:
        writer: pq.ParquetWriter | None = None
        for start in range(0, max(rows, 1), ROWS_AT_ONCE):
            table = pa.table(columns(slice(start, min(start + ROWS_AT_ONCE, rows))))
            writer = writer or stack.enter_context(pq.ParquetWriter(temporary, table.schema))
            writer.write_table(table.cast(writer.schema))


def read_pairs(path: Path, collection: Collection) -> tuple[IntArray, IntArray]:
    """Query and passage positions of the pairs in a Parquet file, with or without scores, or another run.

    Raises:
        InputError: If the file is missing, has other columns, or names ids the collection does not have.
    """
    found = [(collection.queries.find(queries), collection.corpus.find(passages)) for queries, passages in _ids(path)]
    nothing = np.zeros(0, dtype=np.int64)
    queries, passages = (np.concatenate([nothing, *(block[column] for block in found)]) for column in range(2))
    for column, (what, positions) in enumerate((("query", queries), ("passage", passages))):
        if (positions < 0).any():
            unknown = _id_of_row(path, column, int((positions < 0).argmax()))
            raise InputError(
                expected=f"{what} ids of the collection {collection.name!r} in {path}",
                got=f"{int((positions < 0).sum())} unknown ones, the first is {unknown!r}",
                remedy="name the collection the pairs were mined from",
            )
    return queries, passages


def _ids(path: Path) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Query and passage ids, block by block."""
    if path.suffix.lower() == ".parquet":
        yield from (tuple(batch.columns) for batch in read_parquet(path, COLUMNS[:2]))
        return
    run = read_run(path)
    queries = [query_id for query_id, found in run.items() for _ in found]
    passages = [passage_id for found in run.values() for passage_id in found]
    yield pa.array(queries, pa.large_string()), pa.array(passages, pa.large_string())


def _id_of_row(path: Path, column: int, row: int) -> str | None:
    for block in _ids(path):
        if row < len(block[column]):
            return str(block[column][row].as_py())
        row -= len(block[column])
    return None


def refuse_unwritable(path: Path, *formats: str) -> None:
    """Raises ``InputError`` unless the file's name ends in one of the formats; called before anything is computed."""
    if path.suffix not in formats or path.is_dir():
        expected = f"the name of a file ending in {' or '.join(formats)}"
        raise InputError(expected=expected, got=str(path), remedy=f"write {path.with_suffix(formats[0])}")


def write_scores(
    path: Path, collection: Collection, queries: IntArray, passages: IntArray, scores: FloatArray, tag: str
) -> int:
    """Scores as Parquet, or as a TREC run where the name ends in ``.trec``: every known pair once.

    Args:
        path: File to write.
        collection: Gives the ids.
        queries, passages: (P,) positions.
        scores: (P,) scores; those that are no finite number, as where a stored scorer knows nothing, are left out.
        tag: Name of the system in a TREC run.

    Returns:
        The number of pairs written.
    """
    known = np.flatnonzero(np.isfinite(scores))
    codes = queries[known].astype(np.int64) * len(collection.corpus) + passages[known]
    kept = known[np.sort(np.unique(codes, return_index=True)[1])]
    queries, passages, scores = queries[kept], passages[kept], scores[kept]

    def columns(block: slice) -> dict[str, Any]:
        ids = collection.queries.take_ids(queries[block]), collection.corpus.take_ids(passages[block])
        return {"query_id": ids[0], "passage_id": ids[1], "score": pa.array(scores[block])}

    if path.suffix == ".parquet":
        _write_blocks(path, len(kept), columns)
    else:
        whole = columns(slice(None))
        write_run(path, by_query(whole["query_id"], whole["passage_id"], scores.tolist()), tag)
    return len(kept)
