"""How much each assistant counts under the fusion "weighted": fitted on the judged development queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from st_mta.assistants.calibration import calibrate
from st_mta.assistants.weights import fit_weights
from st_mta.distributions import masked_log_softmax
from st_mta.mining import mine
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.lists import fill_missing, padded_scores
from st_mta.types import Collection, Scorer


def fit_dev_weights(
    collection: Collection,
    retrievers: Sequence[Scorer],
    assistants: Sequence[Scorer],
    temperatures: Sequence[float],
    arguments: MultiAssistantTrainingArguments,
) -> list[float]:
    """The mixture of the assistants that puts most mass on the relevant passages of the development queries.

    Args:
        collection: With a judged dev split.
        retrievers: They bring the candidates, always the top ones.
        assistants: A scorers in pool order; the teacher is not asked.
        temperatures: A temperatures, fitted on the training queries.
        arguments: ``num_candidates``, ``range_max`` and ``calibration`` are read.

    Returns:
        A weights that sum to one.

    Raises:
        InputError: If no development query has a positive.
    """
    lists = mine(
        collection,
        collection.queries_of("dev"),
        retrievers,
        collection.qrels["dev"],
        num_candidates=arguments.num_candidates,
        depth=arguments.range_max,
    )
    pairs = lists.pair_queries, lists.passages
    raw = np.stack([scorer.score(collection.queries, collection.corpus, *pairs) for scorer in assistants])
    rows = np.flatnonzero(lists.lengths)
    lists = lists.select(rows)  # only queries without any candidate go, so that the pairs stay the same
    scores, mask = padded_scores(lists, fill_missing(lists, raw), np.arange(len(lists)))
    relevant = lists.positive[None].astype(np.float32)
    positive = padded_scores(lists, relevant, np.arange(len(lists)))[0][:, 0] > 0
    log_probs = masked_log_softmax(calibrate(scores, mask, temperatures, arguments.calibration), mask[:, None])
    return fit_weights(log_probs, positive, mask)
