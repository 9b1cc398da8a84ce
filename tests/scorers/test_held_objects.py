"""Functions that differ in anything they hold do not share stored scores."""

from __future__ import annotations

import functools
import http.client
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from st_mta.errors import InputError
from st_mta.scorers import FunctionScorer
from tests.tiny import tiny_sentence_transformer


class Client:
    def __init__(self, model):
        self.model, self.lock = model, threading.Lock()


class Slotted:
    __slots__ = ("model",)

    def __init__(self, model):
        self.model = model


class Service:
    def __init__(self, held):
        self.held, self.me = held, self  # a circle

    def __call__(self, queries, passages):
        return [1.0] * len(queries)

    def rerank(self, queries, passages):
        return [1.0] * len(queries)


class SlottedService(Slotted):
    __slots__ = ("__secret",)

    def __init__(self, model):
        self.__secret = model

    def __call__(self, queries, passages):
        return [1.0] * len(queries)


def closure(held):
    return lambda queries, passages: [1.0 if held else 0.0] * len(queries)


def with_argument(queries, passages, held=None):
    return [1.0] * len(queries)


HOLDERS = {
    "attribute": Service,
    "method": lambda held: Service(held).rerank,
    "slot": SlottedService,
    "closure": closure,
    "argument": lambda held: functools.partial(with_argument, held=held),
}
HELD = {
    "object": Client,
    "slots": Slotted,
    "deeper": lambda value: {"a": [Client(Slotted(value))]},
    "path": lambda value: Path(str(value)),
    "bytes": lambda value: str(value).encode(),
    "pattern": lambda value: re.compile("a" * 300 + str(value)),
    "number": lambda value: np.float32(value),
    "model": lambda value: tiny_sentence_transformer(value),
    "cached function": lambda value: functools.cache(closure(value)),
}


def fingerprint(function):
    return FunctionScorer(function, "service").fingerprint


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("holder", HOLDERS)
def test_what_is_held_anywhere_counts(holder, held):
    first, again, other = (fingerprint(HOLDERS[holder](HELD[held](value))) for value in (1, 1, 2))
    assert first == again != other


LIMIT, SETTINGS, CLIENT, COUNT = 3, {"model": "a"}, Client("a"), 0


def by_globals(queries, passages):
    return [float(LIMIT + len(SETTINGS["model"]) + len(CLIENT.model)) for _ in queries]


class ByGlobals:
    def __call__(self, queries, passages):
        return [float(LIMIT) for _ in queries]


@pytest.mark.parametrize(
    "function", [by_globals, ByGlobals(), ByGlobals().__call__], ids=["function", "object", "method"]
)
def test_values_that_the_code_names_count(function, monkeypatch):
    before = fingerprint(function)
    monkeypatch.setitem(globals(), "COUNT", 5)  # is not named
    assert fingerprint(function) == before
    monkeypatch.setitem(globals(), "LIMIT", 4)
    assert fingerprint(function) != before


@pytest.mark.parametrize(("name", "value"), [("SETTINGS", {"model": "b"}), ("CLIENT", Client("b"))])
def test_objects_that_the_code_names_count(name, value, monkeypatch):
    before = fingerprint(by_globals)
    monkeypatch.setitem(globals(), name, value)
    assert fingerprint(by_globals) != before


@pytest.mark.parametrize("held", [http.client.HTTPConnection("a"), torch.Generator()], ids=["connection", "generator"])
@pytest.mark.parametrize("wrap", [lambda held: held, Client, lambda held: [held]], ids=["bare", "object", "list"])
def test_an_object_of_a_library_needs_a_version(held, wrap):
    with pytest.raises(InputError, match=r"holds a .*(HTTPConnection|Generator).*To do: .*version="):
        FunctionScorer(Service(wrap(held)))
    versions = [FunctionScorer(Service(wrap(held)), "a", version=version).fingerprint for version in "112"]
    assert versions[0] == versions[1] != versions[2]


def test_functions_without_objects_keep_their_fingerprints():
    namespace = {"__name__": "plainly"}
    exec("def rerank(queries, passages, weight=2.0): return [weight for _ in queries]", namespace)
    scorer = FunctionScorer(namespace["rerank"])
    from st_mta.scorers.identity import identity_of
    from st_mta.stores import fingerprint_values

    assert scorer.fingerprint == fingerprint_values("function", identity_of(namespace["rerank"]))
