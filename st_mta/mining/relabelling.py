"""Candidates that a teacher is surer of than of the labelled positive become the positive of their list."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from st_mta.scored import ScoredCandidates
from st_mta.types import FloatArray, IntArray, Windows


@dataclass(frozen=True)
class Relabelled:
    """Lists with the teacher's positives.

    Attributes:
        lists: Q queries with their P pairs, the new positive of a relabelled query first.
        rows: (R,) numbers of the relabelled ones, ascending.
    """

    lists: ScoredCandidates
    rows: IntArray


def relabel(scored: ScoredCandidates, margin: float = 0.0, windows: Windows | None = None) -> Relabelled:
    """Makes the teacher's best candidate the positive where it scores above the best labelled one by a margin.

    Gecko (Lee et al. 2024, section 3.2) takes the passage that a language model ranks first as the positive of a
    generated query, instead of the passage that the query was made from. Deviations: any scorer is the teacher; the
    former positives stay in the list as further positives, since a human label is seldom wrong: so they are never
    negatives, and losses that take one positive take the new one, which stands first and has the best grade among
    them. A query without a labelled positive stays as it is.

    Args:
        scored: Lists of at least one candidate, the teacher's scores first; a candidate with NaN is never taken.
        margin: In the teacher's raw scores; 0 relabels wherever it is surer at all.
        windows: Where passages are windows, of the corpus: documents are compared, each by the sum of its best windows
            in the list, and all windows of the new positive are positives.

    Example:
        ::

            lists = mine(collection, queries, [BM25()], qrels)
            lists = relabel(score_all(collection, lists, [teacher]), margin=1.0).lists
    """
    lists, (document, scores) = scored.candidates, scored.by_document(windows)
    best = np.lexsort((-scores, lists.rows))[lists.offsets[:-1]]
    labelled = _best_positive(scored, scores)
    surer = np.isfinite(labelled) & ~lists.positive[best] & (scores[best].astype(np.float64) > labelled + margin)
    rows = np.flatnonzero(surer)
    pairs = np.flatnonzero(np.isin(document, document[best[rows]]))
    return Relabelled(_with_first(scored, pairs), rows) if len(rows) else Relabelled(scored, rows)


def _best_positive(scored: ScoredCandidates, scores: FloatArray) -> npt.NDArray[np.float64]:
    """(Q,) float64 the teacher's highest score of a positive; -inf where there is none."""
    lists, best = scored.candidates, np.full(len(scored), -np.inf)
    np.fmax.at(best, lists.rows[lists.positive], scores[lists.positive].astype(np.float64))
    return best


def _with_first(scored: ScoredCandidates, pairs: IntArray) -> ScoredCandidates:
    """The lists with these pairs, of one document in a list, as positives in front."""
    lists = scored.candidates
    best_grade = np.zeros(len(lists), dtype=np.int64)
    np.maximum.at(best_grade, lists.rows, lists.grades)
    positive, grades, behind = lists.positive.copy(), lists.grades.copy(), np.ones(len(lists.passages), dtype=np.int64)
    positive[pairs], grades[pairs], behind[pairs] = True, best_grade[lists.rows[pairs]], 0
    order = np.lexsort((behind, lists.rows))  # stable: all others keep their order
    moved = replace(
        lists,
        passages=lists.passages[order],
        positive=positive[order],
        source=lists.source[order],
        grades=grades[order],
    )
    return replace(scored, candidates=moved, scores=scored.scores[:, order])
