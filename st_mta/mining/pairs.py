"""Candidates and scores as files with ids, for other programs and for the next command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.trec import COLUMNS, read_parquet, read_run, write_run
from st_mta.types import Candidates, Collection, FloatArray, IntArray, by_query


def write_pairs(path: Path, collection: Collection, candidates: Candidates) -> None:
    """Parquet with ``query_id``, ``passage_id``, ``positive``, ``grade`` and ``source``, in the order of the lists."""
    table = pa.table(
        {
            "query_id": collection.queries.take_ids(candidates.pair_queries),
            "passage_id": collection.corpus.take_ids(candidates.passages),
            "positive": candidates.positive,
            "grade": candidates.grades,
            "source": pa.DictionaryArray.from_arrays(pa.array(candidates.source), list(candidates.sources)),
        }
    )
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary)


def read_pairs(path: Path, collection: Collection) -> tuple[IntArray, IntArray]:
    """Query and passage positions of the pairs in a Parquet file, with or without scores, or another run.

    Raises:
        InputError: If the file is missing, has other columns, or names ids the collection does not have.
    """
    query_ids, passage_ids = _ids(path)
    queries, passages = collection.queries.find(query_ids), collection.corpus.find(passage_ids)
    for what, ids, found in (("query", query_ids, queries), ("passage", passage_ids, passages)):
        if (found < 0).any():
            raise InputError(
                expected=f"{what} ids of the collection {collection.name!r} in {path}",
                got=f"{int((found < 0).sum())} unknown ones, the first is {ids[int((found < 0).argmax())]!r}",
                remedy="name the collection the pairs were mined from",
            )
    return queries, passages


def _ids(path: Path) -> tuple[list[str], list[str]]:
    if path.suffix.lower() == ".parquet":
        batches = read_parquet(path, COLUMNS[:2])
        pairs = [pair for batch in batches for pair in zip(*(column.to_pylist() for column in batch.columns))]
    else:
        pairs = [(query_id, passage_id) for query_id, found in read_run(path).items() for passage_id in found]
    return [query_id for query_id, _ in pairs], [passage_id for _, passage_id in pairs]


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
    query_ids = collection.queries.take_ids(queries[kept])
    passage_ids = collection.corpus.take_ids(passages[kept])
    if path.suffix == ".parquet":
        columns = {"query_id": query_ids, "passage_id": passage_ids, "score": pa.array(scores[kept])}
        with atomic_path(path) as temporary:
            pq.write_table(pa.table(columns), temporary)
    else:
        write_run(path, by_query(query_ids, passage_ids, scores[kept].tolist()), tag)
    return len(kept)
