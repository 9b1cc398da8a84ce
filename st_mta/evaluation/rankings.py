"""Rankings as arrays: cut to a depth, without unscored passages and without the query itself."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np

from st_mta.errors import InputError
from st_mta.types import Collection, FloatArray, IntArray, Retrieved

logger = logging.getLogger(__name__)


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
        remedy="choose another split, or add judgements to the collection",
    )


def own_passages(collection: Collection, queries: IntArray) -> IntArray:
    """(Q,) corpus position of the passage that has the query's id, -1 where there is none.

    BEIR drops it from every ranking, judged or not: in ArguAna and Quora it *is* the query, and would come first. The
    rule goes by the id alone, so it also takes a passage from collections that number queries and passages alike;
    for these a warning is logged.
    """
    own = collection.corpus.find(collection.queries.take_ids(queries))
    if others := _with_another_text(collection, queries, own):
        _warn_once(
            f"{collection.name}: {others} of {len(queries)} queries have the id of a passage with another text. BEIR "
            "leaves that passage out of the query's ranking, and so do we; in a collection of your own, give the "
            "queries ids that no passage has, if it should count."
        )
    return own


def _with_another_text(collection: Collection, queries: IntArray, own: IntArray) -> int:
    """How many queries are not contained in the passage of the same id."""
    rows = np.flatnonzero(own >= 0)
    pairs = zip(collection.queries.take(queries[rows]), collection.corpus.take(own[rows]))
    return sum(" ".join(query.split()) not in " ".join(passage.split()) for query, passage in pairs)


@cache
def _warn_once(message: str) -> None:
    logger.warning(message)


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
    passages, scores = (np.take_along_axis(table, order, axis=1) for table in (passages, scores))
    return Retrieved(found.queries, passages, scores)
