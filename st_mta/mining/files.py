"""Candidates, alone or with their scores, as files of a run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from st_mta.atomic import atomic_path
from st_mta.errors import InputError
from st_mta.scored import ScoredCandidates
from st_mta.types import Candidates, offsets_of

COLUMNS = ("passages", "positive", "source")  # lists, one for each query
GRADES = "grades"  # another one, which older files do not have


def save_candidates(path: str | Path, candidates: Candidates) -> None:
    """Writes candidates, one row per query, atomically; the collection their positions point into is not written."""
    offsets = pa.array(candidates.offsets, type=pa.int32() if candidates.offsets[-1] < 2**31 else pa.int64())
    make = pa.ListArray if candidates.offsets[-1] < 2**31 else pa.LargeListArray
    lists = {name: make.from_arrays(offsets, pa.array(getattr(candidates, name))) for name in (*COLUMNS, GRADES)}
    table = pa.table({"query": candidates.queries, **lists})
    with atomic_path(Path(path)) as temporary:
        pq.write_table(table.replace_schema_metadata({"sources": json.dumps(candidates.sources)}), temporary)


def load_candidates(path: str | Path) -> Candidates:
    """Reads what ``save_candidates`` wrote; in files from before there were grades every positive has grade 1.

    Raises:
        InputError: If the file is no such file.
    """
    try:
        table = pq.read_table(path).combine_chunks()
        sources = tuple(json.loads(table.schema.metadata[b"sources"]))
        known = [name for name in (*COLUMNS, GRADES) if name != GRADES or name in table.column_names]
        lists = [table[name].combine_chunks() for name in known]
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            expected=f"a file of candidates at {path}",
            got=f"{type(error).__name__}: {error}",
            remedy="mine again; the file is written whole or not at all, so it was changed or is another file",
        ) from error
    passages, positive, source, *grades = (column.flatten().to_numpy(zero_copy_only=False) for column in lists)
    lengths = lists[0].value_lengths().to_numpy(zero_copy_only=False)
    return Candidates(table["query"].to_numpy(), offsets_of(lengths), passages, positive, source, sources, *grades)


def save_scored(folder: Path, scored: ScoredCandidates) -> None:
    """Writes lists and scores as ``lists.parquet`` and ``scores.npy``; the scorers' names stand in the journal."""
    save_candidates(folder / "lists.parquet", scored.candidates)
    with atomic_path(folder / "scores.npy") as temporary, open(temporary, "wb") as file:
        np.save(file, scored.scores)


def load_scored(folder: Path, scorers: Sequence[str] = ()) -> ScoredCandidates:
    """Reads what ``save_scored`` wrote; the scores are mapped, not read.

    Raises:
        InputError: If one of the files is no such file, or they do not belong together.
    """
    candidates, path = load_candidates(folder / "lists.parquet"), folder / "scores.npy"
    try:
        scores = np.load(path, mmap_mode="r")
        found = f"scores of shape {scores.shape}"
    except (OSError, ValueError, EOFError) as error:
        scores, found = np.zeros((0, 0), dtype=np.float32), f"{type(error).__name__}: {error}"
    if scores.ndim != 2 or scores.shape[1] != len(candidates.passages):
        raise InputError(
            expected=f"scores of {len(candidates.passages)} pairs in {path}",
            got=found,
            remedy="remove the iteration's entry from state.json and resume, or begin anew with --overwrite",
        )
    return ScoredCandidates(candidates, scores, tuple(scorers))
