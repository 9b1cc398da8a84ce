"""The union of several retrievers' picks by weighted round robin, for a block of queries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from st_mta.mining.positives import Positives
from st_mta.types import IntArray, numbers_within, starts_of


def merge(
    labelled: Positives,
    picks: Sequence[IntArray],
    shares: npt.NDArray[np.float64],
    num_candidates: int,
    first: IntArray,
) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """Positives first, then the picks of lowest priority ``(order + 0.5) / share``, each text once per query.

    Equal priorities go to the earlier retriever.

    Args:
        labelled: Positives of Q queries, not among the picks; at most ``num_candidates - 1`` of each are taken.
        picks: For each of R retrievers (Q, picks) corpus positions in the order of picking, filled with -1.
        shares: (R,) quotas.
        num_candidates: Passages per query at most.
        first: (n,) position of the first passage with the same text.

    Returns:
        Lengths (Q,), and for all lists in a row passages (P,), sources (P,): 0 for a positive, r + 1 for retriever
        r, and grades (P,): 0 for all but positives.
    """
    taken = np.minimum(labelled.lengths, num_candidates - 1)
    kept = numbers_within(labelled.lengths) < taken[labelled.rows]
    rows, passages, source = _best_picks(picks, shares, num_candidates - taken, first)
    all_rows = np.concatenate([labelled.rows[kept], rows])
    all_passages = np.concatenate([labelled.passages[kept], passages])
    all_sources = np.concatenate([np.zeros(int(kept.sum()), dtype=np.int64), source])
    all_grades = np.concatenate([labelled.grades[kept], np.zeros(len(rows), dtype=np.int64)])
    order = np.argsort(all_rows, kind="stable")
    lengths = np.bincount(all_rows, minlength=len(labelled))
    return lengths, all_passages[order], all_sources[order], all_grades[order]


def _best_picks(
    picks: Sequence[IntArray], shares: npt.NDArray[np.float64], slots: IntArray, first_of: IntArray
) -> tuple[IntArray, ...]:
    """Rows, passages and sources (from 1) of the picks that win a place, best first within each row."""
    places = [np.nonzero(each >= 0) for each in picks]
    rows = np.concatenate([row for row, _ in places])
    passages = np.concatenate([each[place] for each, place in zip(picks, places)])
    source = np.repeat(np.arange(1, len(picks) + 1), [len(row) for row, _ in places])
    priority = np.concatenate([(order + 0.5) / share for (_, order), share in zip(places, shares)])
    texts = first_of[passages]
    first = np.lexsort((source, priority, texts, rows))
    first = first[starts_of(rows[first], texts[first])]
    order = first[np.lexsort((source[first], priority[first], rows[first]))]
    order = order[_number_in_row(rows[order]) < slots[rows[order]]]
    return rows[order], passages[order], source[order]


def _number_in_row(rows: IntArray) -> IntArray:
    """0, 1, 2, ... within each run of equal row numbers."""
    return numbers_within(np.diff(np.append(np.flatnonzero(starts_of(rows)), len(rows))))
