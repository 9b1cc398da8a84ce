"""Which queries an iteration trains on: from the second one on, those that the student got wrong weigh more."""

from __future__ import annotations

import numpy as np

from st_mta.mining import load_candidates
from st_mta.run.folder import RunFolder
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.types import Collection, IntArray, Qrels

EASY_WEIGHT = 0.1
"""Weight of a query that the student gets right, against 1.1 of one whose positive it does not find at all."""


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
        first = marked.offsets[:-1][marked.lengths > 0]  # the others were its best of iterations before
        query_ids = collection.queries.take_ids(marked.pair_queries[first])
        passage_ids = collection.judged_ids(marked.passages[first])
        positives |= {query_id: {passage_id: 1} for query_id, passage_id in zip(query_ids, passage_ids)}
    return positives


def draw_queries(
    available: IntArray, ranks: IntArray | None, arguments: MultiAssistantTrainingArguments, iteration: int
) -> tuple[IntArray, IntArray]:
    """The queries of an iteration, and those of them that come in because the student got them wrong.

    Args:
        available: (Q,) all training queries.
        ranks: (Q,) rank, from 1, of the first positive by the student as it is now, 0 where it was not found; None
            before anything is known of it, and where no harder queries are wanted.
        arguments: ``queries_per_iteration``, ``curriculum`` and ``seed`` are read.
        iteration: Counted from 0.

    Returns:
        A seeded sample of ``queries_per_iteration`` queries (all by default), and the extra ones. Under "all" these
        are at most half as many, drawn from the wrong ones; a query may be in both and is then seen twice. Under
        "wrong" and "weighted" the sample itself is the harder one, and there are no extra ones; under "weighted" a
        query is in it several times where everything is drawn.
    """
    random = np.random.default_rng([arguments.seed, iteration])
    size = min(arguments.queries_per_iteration or len(available), len(available))
    nothing = available[:0]
    if ranks is None:
        return np.sort(random.permutation(available)[:size]), nothing
    wrong = available[ranks != 1]
    if arguments.curriculum == "weighted":
        return _by_error(available, ranks, size, random), nothing
    if arguments.curriculum == "wrong":
        return np.sort(random.permutation(wrong if len(wrong) else available)[:size]), nothing
    hard = random.permutation(wrong)[: size // 2]
    return np.sort(random.permutation(available)[:size]), np.sort(hard)


def _by_error(available: IntArray, ranks: IntArray, size: int, random: np.random.Generator) -> IntArray:
    """A weighted sample; where all queries would be in it anyway, they are drawn with replacement.

    A query weighs ``EASY_WEIGHT`` more than its error: 1 - 1 / rank, and 1 where no positive was found.
    """
    weights = np.where(ranks == 0, 1.0, 1 - 1 / np.maximum(ranks, 1)) + EASY_WEIGHT
    return np.sort(random.choice(available, size, replace=size == len(available), p=weights / weights.sum()))


def count_hard(sample: IntArray, extra: IntArray, available: IntArray, ranks: IntArray | None) -> int:
    """How many of the drawn queries are hard ones: the extra ones, or else the wrong ones of the sample."""
    if ranks is None:
        return 0
    return len(extra) or int(np.isin(sample, available[ranks != 1]).sum())
