"""Judgements of passages, and nested dictionaries of ids."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence, Set
from typing import Any, TypeVar

import numpy as np

Qrels = dict[str, dict[str, int]]
"""Graded judgements: query id -> passage id -> grade; a passage is relevant when its grade is at least 1."""
Judged = Mapping[str, int] | Set[str] | Sequence[str]
"""A query's judgements: passage id -> grade, or the ids of passages of grade 1."""

Value = TypeVar("Value", int, float)


def by_query(
    query_ids: Iterable[str], passage_ids: Iterable[str], values: Iterable[Value]
) -> dict[str, dict[str, Value]]:
    """Query id -> passage id -> value from (P,) columns; of a pair that occurs twice the last value counts."""
    nested: dict[str, dict[str, Value]] = {}
    for query_id, passage_id, value in zip(query_ids, passage_ids, values):
        nested.setdefault(query_id, {})[passage_id] = value
    return nested


def graded(judged: Any) -> Mapping[str, int] | None:
    """A query's judgements (see ``Judged``) as passage id -> grade; None where they are nothing of the kind."""
    if isinstance(judged, Mapping):
        return judged
    if isinstance(judged, (Set, list, tuple, np.ndarray)) and all(isinstance(entry, Hashable) for entry in judged):
        return dict.fromkeys(sorted(judged, key=str) if isinstance(judged, Set) else judged, 1)  # always in one order
    return None


def is_grade(value: Any) -> bool:
    """Whether it is a whole number that every form of judgements can hold."""
    if not isinstance(value, (int, float, np.integer, np.floating, np.bool_)):
        return False
    return bool(-(2**53) < value < 2**53) and float(value).is_integer()
