"""How well a scorer ranks a split: it searches the corpus itself or re-ranks a first stage."""

from __future__ import annotations

import logging
from itertools import islice

import numpy as np

from st_mta.errors import InputError
from st_mta.evaluation.documents import over_documents
from st_mta.evaluation.measures import evaluate_run
from st_mta.evaluation.rankings import cut, judged_queries, own_passages
from st_mta.types import Collection, IntArray, Lists, Retrieved, Run, Scorer, offsets_of

logger = logging.getLogger(__name__)


def evaluate_scorer(
    scorer: Scorer,
    collection: Collection,
    split: str,
    *,
    depth: int = 100,
    first_stage: Scorer | Retrieved | None = None,
    relevance_level: int = 1,
) -> tuple[Run, dict[str, float]]:
    """Ranks the corpus for every judged query of a split and measures the ranking.

    Args:
        scorer: A teacher or an assistant.
        collection: Corpus, queries and judgements; where passages are windows, documents are ranked and measured.
        split: "dev", "test" or whatever the collection has.
        depth: Passages per query that are ranked and measured.
        first_stage: For scorers that cannot search, a scorer whose passages they re-rank, or these passages (see
            [`best_passages`]) for every query of the split. A scorer that can search ignores it.
        relevance_level: Lowest grade that counts as relevant for measures without grades.

    Returns:
        The run, and every measure of ``MEASURES``.

    Raises:
        InputError: If the split has no judgements, or a first stage is needed and missing, incomplete or unable to
            search.
    """
    if collection.windows is not None:
        first_stage = over_documents(first_stage, collection) if isinstance(first_stage, Scorer) else first_stage
        scorer, collection = over_documents(scorer, collection), collection.over_documents
    queries, qrels = judged_queries(collection, split), collection.qrels[split]
    own = own_passages(collection, queries)
    finished = scorer.ranking(collection.queries, collection.corpus, queries, depth + 1)
    if finished is not None:
        run = _covering(finished, collection.queries.take_ids(queries), depth)
        _warn_of_gaps(run, scorer.name, collection.name, split)
        return run, evaluate_run(run, qrels, relevance_level=relevance_level)
    wanted = min(depth + int((own >= 0).any()), len(collection.corpus))  # room for the passage that is dropped
    if scorer.can_retrieve:
        found = scorer.retrieve(collection.queries, collection.corpus, queries, wanted)
    else:
        if isinstance(first_stage, Scorer) and first_stage.can_retrieve:
            first_stage = best_passages(first_stage, collection, queries, depth)
        found = rerank(scorer, collection, _rows_of(first_stage, queries, scorer.name), wanted)
    run = cut(found, depth, own).to_run(collection.queries, collection.corpus)
    return run, evaluate_run(run, qrels, relevance_level=relevance_level)


def _covering(finished: Run, query_ids: list[str], depth: int) -> Run:
    """The ranking of every query, empty where there is none; as in BEIR without the passage of the query's own id."""
    rankings = {query_id: finished.get(query_id, {}) for query_id in query_ids}
    return {
        query_id: dict(islice(((key, score) for key, score in ranking.items() if key != query_id), depth))
        for query_id, ranking in rankings.items()
    }


def _warn_of_gaps(run: Run, scorer: str, collection: str, split: str) -> None:
    missing = [query_id for query_id, passages in run.items() if not passages]
    if missing:
        logger.warning(
            f"{scorer} has no passage for {len(missing)} of {len(run)} judged queries "
            f"({len(missing) / len(run):.0%}) of {collection}, split {split} (the first is {missing[0]!r}); they "
            "count as 0, as in trec_eval -c."
        )


def best_passages(searcher: Scorer, collection: Collection, queries: IntArray, depth: int) -> Retrieved:
    """The ``depth`` best passages of each query, and one more: the passage with the query's id may be dropped.

    Where passages are windows these are positions of documents.
    """
    searcher, collection = over_documents(searcher, collection), collection.over_documents
    wanted = min(depth + 1, len(collection.corpus))
    return searcher.retrieve(collection.queries, collection.corpus, queries, wanted)


def rerank(scorer: Scorer, collection: Collection, first_stage: Retrieved, depth: int) -> Retrieved:
    """The scorer's scores for the best ``depth`` passages of a first stage, still in the first stage's order.

    Returns:
        (Q, depth) passages, with score -inf at padding and NaN where a stored scorer knows nothing.
    """
    passages = first_stage.passages[:, :depth]
    scores = np.full(passages.shape, -np.inf, dtype=np.float32)
    rows, columns = np.nonzero(passages >= 0)
    lengths = np.bincount(rows, minlength=len(passages))
    lists = Lists(first_stage.queries, offsets_of(lengths), passages[rows, columns])
    scores[rows, columns] = scorer.score_lists(collection.queries, collection.corpus, lists)
    return Retrieved(first_stage.queries, passages, scores)


def _rows_of(first_stage: Scorer | Retrieved | None, queries: IntArray, scorer_name: str) -> Retrieved:
    if not isinstance(first_stage, Retrieved):
        raise InputError(
            expected=f"a first stage for {scorer_name!r}, which only re-ranks",
            got="none" if first_stage is None else f"{first_stage.name!r}, which only re-ranks too",
            remedy="pass first_stage=, a scorer that can search (bm25)",
        )
    missing = int(np.isin(queries, first_stage.queries, invert=True).sum())
    if missing:
        raise InputError(
            expected="a first stage with every query of the split",
            got=f"one without {missing} of {len(queries)} queries",
            remedy="retrieve for collection.queries_of(split)",
        )
    order = np.argsort(first_stage.queries, kind="stable")
    rows = order[np.searchsorted(first_stage.queries, queries, sorter=order)]
    return Retrieved(first_stage.queries[rows], first_stage.passages[rows], first_stage.scores[rows])
