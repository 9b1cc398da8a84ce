"""The training queries and their positives, judged by people or, for unlabelled queries, by the teacher."""

from __future__ import annotations

import numpy as np

from st_mta.mining import load_candidates
from st_mta.run.folder import RunFolder
from st_mta.types import Collection, IntArray, Qrels


def training_queries(collection: Collection) -> IntArray:
    """Positions of all training queries: the judged ones, then the unlabelled."""
    return np.concatenate([collection.queries_of("train"), collection.unlabelled])


def training_positives(collection: Collection, folder: RunFolder, iteration: int) -> Qrels:
    """Judged positives, and for unlabelled queries the teacher's best of earlier iterations.

    Args:
        collection: Its train split is judged.
        folder: Of the run; the lists of the iterations before this one are read.
        iteration: Counted from 0.
    """
    positives = dict(collection.qrels.get("train", {}))
    if not len(collection.unlabelled):
        return positives
    for earlier in range(iteration):
        lists = load_candidates(folder.iteration(earlier) / "lists.parquet")
        marked = lists.keep(lists.positive & np.isin(lists.pair_queries, collection.unlabelled))
        query_ids = collection.queries.take_ids(marked.pair_queries)
        passage_ids = collection.corpus.take_ids(marked.passages)
        positives |= {query_id: {passage_id: 1} for query_id, passage_id in zip(query_ids, passage_ids)}
    return positives
