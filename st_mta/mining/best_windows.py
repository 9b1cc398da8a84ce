"""Lists of windows: each document stands in a list by those of its windows that a scorer likes best."""

from __future__ import annotations

import numpy as np

from st_mta.types import Candidates, Collection, Lists, Scorer, numbers_within, offsets_of


def best_windows(collection: Collection, lists: Candidates, scorer: Scorer) -> Candidates:
    """The lists with the best windows of every document in the place of the one that was mined.

    MaxP in training: the scorer reads all windows of a candidate, positives and negatives alike, and the student
    learns from the best one, or from the best k where the sum of so many counts. Deviation: the student's own best
    window may be another one; in evaluation it is its own that counts.

    Args:
        collection: Without windows the lists come back as they are.
        lists: One window of each document.
        scorer: The teacher; a window that it does not know comes last.
    """
    windows = collection.windows
    if windows is None:
        return lists
    document = windows.document[lists.passages]
    lengths = windows.lengths[document]
    pair = np.repeat(np.arange(len(document)), lengths)
    passages = windows.of(document)
    whole = Lists(lists.queries, offsets_of(np.bincount(lists.rows[pair], minlength=len(lists))), passages)
    scores = scorer.score_lists(collection.queries, collection.corpus, whole)
    kept = np.lexsort((-scores, pair))[numbers_within(lengths) < windows.best]
    of = pair[kept]
    return Candidates(
        lists.queries,
        offsets_of(np.bincount(lists.rows[of], minlength=len(lists))),
        passages[kept],
        lists.positive[of],
        lists.source[of],
        lists.sources,
        lists.grades[of],
    )
