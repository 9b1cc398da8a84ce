"""Keyword parameters that factories hand on: found in their signatures, with defaults and types, and refused else."""

from __future__ import annotations

import inspect
from typing import get_type_hints

import pytest

from st_mta.losses.handed_on import handing_on


class Part:
    def __init__(self, size: int, *, alpha: float = 0.5, seed: int | None = None, hidden: str = ""): ...


def other(*, share: bool = True): ...


@handing_on(other, ["share"])
@handing_on(Part, ["alpha", "seed"])
def make(student, targets, *, weight: float = 2.0, **options):
    return weight, options


def test_the_signature_names_them_in_the_place_of_the_rest():
    parameters = inspect.signature(make).parameters
    assert {name: one.default for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY} == {
        "weight": 2.0, "alpha": 0.5, "seed": None, "share": True
    }  # fmt: skip
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    types = get_type_hints(make)
    assert (types["weight"], types["alpha"], types["seed"], types["share"]) == (float, float, int | None, bool)


def test_only_what_is_given_is_handed_on():
    assert make("s", "t", seed=3, share=False, weight=1.0) == (1.0, {"seed": 3, "share": False})
    assert make("s", "t") == (2.0, {})


@pytest.mark.parametrize("unknown", ["hidden", "sahre"])
def test_other_names_are_refused(unknown):
    with pytest.raises(TypeError, match=unknown):
        make("s", "t", **{unknown: 1})


def test_a_part_without_such_a_parameter_is_a_mistake():
    with pytest.raises(KeyError, match="absent"):
        handing_on(Part, ["absent"])(lambda student, targets, **options: None)
