"""Scores that other processes have stored since a look-up: each of their parts is read once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from st_mta.stores.keys import KeyArray
from st_mta.types import FloatArray, starts_of


class _Run(NamedTuple):
    """Distinct pairs, ascending by their mixed key."""

    mixed: KeyArray
    queries: KeyArray
    passages: KeyArray
    scores: FloatArray

    def with_rows(self, other: _Run) -> _Run:
        """Both, one behind the other."""
        keys = [np.concatenate(columns) for columns in zip(self[:3], other[:3])]
        return _Run(keys[0], keys[1], keys[2], np.concatenate([self.scores, other.scores]))


@dataclass
class News:
    """Scores by pair, in a few sorted runs, each at least twice as long as the next; 28 bytes a pair.

    Attributes:
        parts: Names of the parts that were read.
    """

    parts: set[str] = field(default_factory=set)
    _runs: list[_Run] = field(default_factory=list)

    def add(self, queries: KeyArray, passages: KeyArray, scores: FloatArray) -> None:
        """Takes the scores (P,) of pairs; those that are no finite number are passed over."""
        known = np.isfinite(scores)
        queries, passages = queries[known], passages[known]
        self._runs.append(_sorted(_Run(mixed_keys(queries, passages), queries, passages, scores[known])))
        while len(self._runs) > 1 and len(self._runs[-2].mixed) < 2 * len(self._runs[-1].mixed):
            last, before = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(before.with_rows(last)))

    def find(self, queries: KeyArray, passages: KeyArray) -> FloatArray:
        """(P,) the smallest score of each pair, NaN where there is none."""
        mixed, found = mixed_keys(queries, passages), np.full(len(queries), np.inf, dtype=np.float32)
        for run in self._runs:
            if len(run.mixed):
                place = np.searchsorted(run.mixed, mixed).clip(max=len(run.mixed) - 1)
                same = (run.queries[place] == queries) & (run.passages[place] == passages)
                found[same] = np.minimum(found[same], run.scores[place[same]])
        found[np.isinf(found)] = np.nan
        return found


def mixed_keys(queries: KeyArray, passages: KeyArray) -> KeyArray:
    """One key (P,) for the two of each pair.

    With n pairs two of them share one with a probability of about n^2 / 2^65; here one of the two is then not found.
    """
    return queries * np.uint64(0x9E3779B97F4A7C15) ^ passages


def _sorted(run: _Run) -> _Run:
    """By key; of a pair that is there several times, the smallest score."""
    order = np.argsort(run.mixed, kind="stable")  # in linear time where it is two sorted runs
    queries, passages = run.queries[order], run.passages[order]
    first = np.flatnonzero(starts_of(queries, passages))
    scores = np.minimum.reduceat(run.scores[order], first) if len(first) else run.scores
    return _Run(run.mixed[order[first]], queries[first], passages[first], scores)
