"""Not measured is not zero: a scorer that knows some pairs only may know nothing of a split."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from st_mta.types import Qrels, Run, Scorer

logger = logging.getLogger(__name__)

LEAST_ANSWERED = 0.5
"""Share of the judged queries below which a mean over all of them says nothing of a scorer with stored scores."""


def measures_if_known(
    scorer: Scorer, run: Run, qrels: Qrels, split: str, measures: Mapping[str, float]
) -> dict[str, float]:
    """The measures, or none of them where the scorer has scores for fewer than half of the judged queries.

    Args:
        scorer: Whose run it is; one that scores every pair is always measured.
        run: What it found for the split.
        qrels: The split's judgements.
        split: For the warning.
        measures: Means over all judged queries.
    """
    answered = sum(bool(run.get(query_id)) for query_id in qrels)
    if not scorer.partial or answered >= LEAST_ANSWERED * len(qrels):
        return dict(measures)
    logger.warning(
        f"{scorer.name} has scores for {answered:,} of {len(qrels):,} {split} queries: it is not measured on them "
        "(n/a), and nothing is decided by it."
    )
    return {}
