"""Rankings as arrays: cut to a depth, without unscored passages and without the query itself."""

from __future__ import annotations

import numpy as np

from st_mta.errors import InputError
from st_mta.types import Collection, FloatArray, IntArray, Qrels, Retrieved


def judged_queries(collection: Collection, split: str) -> IntArray:
    """(Q,) positions of the split's judged queries.

    Raises:
        InputError: If the split has no judgements.
    """
    queries = collection.queries_of(split)
    if len(queries):
        return queries
    judged = [name for name, qrels in collection.qrels.items() if qrels]
    raise InputError(
        expected=f"a split of {collection.name!r} with judgements ({', '.join(judged) or 'it has none'})",
        got=repr(split),
        consequence="there would be nothing to measure",
        remedy="choose another split, or add judgements to the collection",
    )


def own_passages(collection: Collection, queries: IntArray, qrels: Qrels) -> IntArray:
    """(Q,) corpus position of the passage that *is* the query, -1 where there is none.

    Some collections (ArguAna and Quora of BEIR) search a corpus for other texts than the one that asks: the query is
    itself a passage, under the same id, and never judged. Same id alone does not say so, since many collections
    number queries and passages from 1; the passage must contain the query's text too.
    """
    query_ids = collection.queries.take_ids(queries)
    own = collection.corpus.find(query_ids)
    for row in np.flatnonzero(own >= 0):
        query_id = query_ids[row]
        if query_id in qrels.get(query_id, {}) or not _contains(collection, queries[row], own[row]):
            own[row] = -1
    return own


def _contains(collection: Collection, query: int, passage: int) -> bool:
    text, part = collection.corpus.take([passage])[0], collection.queries.take([query])[0]
    return " ".join(part.split()) in " ".join(text.split())


def cut(found: Retrieved, depth: int, own: IntArray) -> Retrieved:
    """The best ``depth`` passages of each row, sorted; equal scores keep their order.

    Args:
        found: (Q, k) passages in any order; position -1 is padding, a NaN score means "not scored".
        depth: Passages kept per query.
        own: (Q,) from ``own_passages``; these are dropped.
    """
    dropped = (found.passages < 0) | np.isnan(found.scores) | (found.passages == own[:, None])
    scores: FloatArray = np.where(dropped, np.float32(-np.inf), found.scores)
    # Dropped passages last even beside a real score of -inf; numpy's stable sort keeps the order of ties.
    order = np.lexsort((-scores, dropped), axis=-1)[:, :depth]
    passages = np.where(dropped, np.int64(-1), found.passages)
    return Retrieved(
        found.queries, np.take_along_axis(passages, order, axis=1), np.take_along_axis(scores, order, axis=1)
    )
