"""What a filter leaves of mined lists, worked out by hand and in loops."""

from __future__ import annotations

import logging
from itertools import pairwise

import numpy as np
import pytest

from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.mining import drop_false_negatives
from st_mta.types import Candidates


def lists_of(*rows):
    """Candidates from rows of (positive, score)."""
    offsets = np.cumsum([0, *map(len, rows)])
    positive = np.array([positive for row in rows for positive, _ in row], dtype=bool)
    scores = np.array([score for row in rows for _, score in row], dtype=np.float32)
    pairs = len(scores)
    queries = np.arange(len(rows))
    return Candidates(queries, offsets, np.arange(pairs), positive, np.zeros(pairs, dtype=np.int64), ("a",)), scores


def passages(filtered):
    return [filtered.candidates.passages[a:b].tolist() for a, b in pairwise(filtered.candidates.offsets)]


LISTS = [
    [(1, 5.0), (0, 5.5), (0, 5.0), (0, 4.2)],
    [(1, -2.0), (1, 3.0), (0, -1.0), (0, -2.6)],  # the lower of two positives counts
    [(0, 9.0), (0, 1.0)],  # nothing is known of this query
]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (DynamicFilter(), [[0, 2, 3], [4, 5, 7], [8, 9]]),
        (DynamicFilter(absolute_margin=0.5), [[0, 3], [4, 5, 7], [8, 9]]),
        (DynamicFilter(relative_margin=0.1), [[0, 3], [4, 5, 7], [8, 9]]),
        (DynamicFilter(absolute_margin=-0.6), [[0, 1, 2, 3], [4, 5, 7], [8, 9]]),
    ],
)
def test_lists_by_hand(filter, expected):
    filtered = drop_false_negatives(*lists_of(*LISTS), filter)
    assert passages(filtered) == expected
    assert filtered.rate == pytest.approx(1 - sum(map(len, expected)) / 10) and filtered.rescued == 0
    assert np.flatnonzero(filtered.kept).tolist() == sum(expected, [])


def test_every_iteration_has_its_margin():
    margins = DynamicFilter(absolute_margin=[-9.0, 0.0, 0.5])
    rates = [drop_false_negatives(*lists_of(*LISTS), margins, iteration).rate for iteration in range(4)]
    assert rates == pytest.approx([0.0, 0.2, 0.3, 0.3])


def test_a_query_never_loses_all_its_negatives(caplog):
    rows = [[(1, 0.0), (0, 3.0), (0, 2.0), (0, 2.0)], [(1, 0.0), (0, -1.0), (0, 1.0)], [(1, 0.0)]]
    with caplog.at_level(logging.WARNING):
        filtered = drop_false_negatives(*lists_of(*rows), DynamicFilter())
    assert passages(filtered) == [[0, 2], [4, 5], [7]]
    assert filtered.rescued == 1 and "every negative of 1 of 3 queries" in caplog.text


@pytest.mark.parametrize("seed", range(5))
def test_lists_as_in_loops(seed):
    random = np.random.default_rng(seed)
    rows = [[(random.random() < 0.3, random.normal()) for _ in range(random.integers(1, 6))] for _ in range(50)]
    expected, start = [], 0
    for row in rows:
        known = min((score for positive, score in row if positive), default=None)
        kept = [i for i, (positive, s) in enumerate(row) if positive or known is None or s <= known - 0.2 * abs(known)]
        negatives = [i for i, (positive, _) in enumerate(row) if not positive]
        if negatives and not set(negatives) & set(kept):
            kept = sorted([*kept, min(negatives, key=lambda i: row[i][1])])
        expected.append([start + i for i in kept])
        start += len(row)
    assert passages(drop_false_negatives(*lists_of(*rows), DynamicFilter(relative_margin=0.2))) == expected


def test_unknown_scores_stay():
    rows = [[(1, np.nan), (0, 3.0)], [(1, 1.0), (0, np.nan), (0, 2.0)]]
    assert passages(drop_false_negatives(*lists_of(*rows), DynamicFilter())) == [[0, 1], [2, 3]]


def test_nothing_is_left_of_nothing():
    assert drop_false_negatives(*lists_of(), DynamicFilter()).rate == 0


def test_soft_filters_are_refused():
    with pytest.raises(InputError, match="lists have no weights"):
        drop_false_negatives(*lists_of(*LISTS), DynamicFilter(temperature=1.0))
