"""The training data of one iteration: candidates and scores as an Arrow dataset of lists."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from datasets import Dataset

from st_mta.types import Candidates, FloatArray, Texts


def listwise_dataset(candidates: Candidates, scores: FloatArray, queries: Texts) -> Dataset:
    """One row per query: text, position, its passages' corpus positions, which of them are positive, and all scores.

    Args:
        candidates: Q queries with P pairs in all.
        scores: (S, P) raw scores, scorer 0 is the teacher.
        queries: The collection's queries.

    Returns:
        Columns ``query`` (text), ``query_position``, ``passages`` (N positions), ``positive`` (N booleans) and
        ``scores`` (N lists of S).
    """
    offsets = pa.array(candidates.offsets.astype(np.int32))
    by_pair = pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(scores.T).reshape(-1)), len(scores))
    table = pa.table(
        {
            "query": pa.array(queries.take(candidates.queries)),
            "query_position": pa.array(candidates.queries),
            "passages": pa.ListArray.from_arrays(offsets, pa.array(candidates.passages)),
            "positive": pa.ListArray.from_arrays(offsets, pa.array(candidates.positive)),
            "scores": pa.ListArray.from_arrays(offsets, by_pair),
        }
    )
    return Dataset(table)
