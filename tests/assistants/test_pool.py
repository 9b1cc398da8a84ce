"""Whom a pool takes."""

from __future__ import annotations

import pytest

from st_mta.assistants.pool import AssistantPool
from st_mta.errors import InputError
from st_mta.scorers import BM25


def named(name: str) -> BM25:
    return BM25(k1=1 + sum(name.encode()) / 10_000, name=name)


@pytest.mark.parametrize("names", [("t", "student"), ("student-before", "a"), ("t", "a/b", "a:b"), ("t", "a", "A")])
def test_names_that_would_stand_for_others_are_refused(names):
    teacher, *assistants = map(named, names)
    with pytest.raises(InputError, match="names"):
        AssistantPool(teacher, assistants)


def test_the_student_takes_its_place_under_its_own_name():
    pool = AssistantPool(named("t"), [named("a"), named("b+c")])
    pool.replace("a", named("iteration-00"))
    assert pool.assistant_names == ["iteration-00", "b+c"]
