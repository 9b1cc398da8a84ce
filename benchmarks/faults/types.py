"""Functions called with values of the wrong type, shape or range."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.faults.drills import Drill
from benchmarks.faults.material import Material
from st_mta import MultiAssistantTrainingArguments, load_scorer
from st_mta.collections import from_dictionaries
from st_mta.errors import InputError
from st_mta.evaluation import evaluate_run, paired_test
from st_mta.scorers import BM25
from st_mta.stores import Store
from st_mta.types import Collection, Scorer

POSITIONS: dict[str, tuple[Any, Any]] = {
    "lengths differ": ([0, 1], [0]),
    "negative passage": ([0], [-1]),
    "negative query": ([-1], [0]),
    "passage beyond": ([0], [10**6]),
    "query beyond": ([10**6], [0]),
    "halves": ([0.5], [0]),
    "NaN": ([math.nan], [0]),
    "words": (["q1"], ["p1"]),
    "two dimensions": ([[0, 1]], [[0, 1]]),
    "None": (None, [0]),
}
ARGUMENTS: dict[str, Any] = {
    "num_iterations": 1.5, "num_candidates": "5", "seed": 4.2, "alpha": "half", "fusion": 5, "loss": 5,
    "learning_rate": "fast", "per_device_train_batch_size": True, "queries_per_iteration": 2.5, "patience": "never",
    "max_length": 12.5, "precision": 16, "range_max": None, "regression_epochs": "two", "dropout": "x",
    "eval_depth": 0, "max_eval_queries": -1,
}  # fmt: skip
RUN, QRELS = {"q": {"a": 2.0, "b": 1.0}}, {"q": {"a": 1}}
MEASURED: dict[str, tuple[Any, Any, Any]] = {
    "score is a word": ({"q": {"a": "good"}}, QRELS, ["ndcg@10"]),
    "score is NaN": ({"q": {"a": math.nan}}, QRELS, ["ndcg@10"]),
    "run is a list": ([("q", "a")], QRELS, ["ndcg@10"]),
    "ranking is a list": ({"q": ["a"]}, QRELS, ["ndcg@10"]),
    "grade is a word": (RUN, {"q": {"a": "good"}}, ["ndcg@10"]),
    "grade is None": (RUN, {"q": {"a": None}}, ["ndcg@10"]),
    "unknown measure": (RUN, QRELS, ["ndgc@10"]),
    "depth 0": (RUN, QRELS, ["ndcg@0"]),
    "no judgements": (RUN, {}, ["ndcg@10"]),
    "measure is a number": (RUN, QRELS, [5]),
}
TESTED: dict[str, tuple[Any, Any]] = {
    "NaN": ({"a": math.nan}, {"a": 1.0}),
    "infinite": ({"a": math.inf}, {"a": 1.0}),
    "other queries": ({"a": 1.0}, {"b": 1.0}),
    "nothing": ({}, {}),
    "words": ({"a": "x"}, {"a": 1.0}),
    "lists": ([1.0], [2.0]),
}
LOADED: dict[str, Any] = {
    "None": None, "number": 5, "list": ["bm25"], "class": BM25, "module": torch.nn.Linear(2, 2),
    "folder": Path("/etc"), "array": np.zeros(3),
}  # fmt: skip


def drills(_: int) -> Iterator[Drill]:
    """Some 90 calls."""
    for kind in ("bm25", "cross-encoder", "bi-encoder", "late-interaction"):
        for name in POSITIONS:
            yield _drill(f"{kind}.score {name}", partial(_score, kind=kind, name=name))
    for name, value in ARGUMENTS.items():
        yield _drill(f"argument {name}={value!r}", partial(_arguments, name=name, value=value))
    for name in MEASURED:
        yield _drill(f"evaluate_run {name}", partial(_measured, name=name))
    for name in TESTED:
        yield _drill(f"paired_test {name}", partial(_tested, name=name))
    for name in LOADED:
        yield _drill(f"load_scorer {name}", partial(_loaded, name=name))
    for k in (-1, 2.5, "x", None):
        yield _drill(f"retrieve k={k!r}", partial(_retrieved, k=k))


def _drill(name: str, work: Callable[..., str]) -> Drill:
    return Drill("types and shapes", name, work, inside=True)


def _refused(call: Callable[[], object]) -> str:
    """Nothing if the call is refused with a message that says what to do."""
    try:
        result = call()
    except InputError:
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return f"accepted: {result!r}"[:150]


@cache
def _collection() -> Collection:
    corpus = {f"p{number}": f"cat dog bird {number}" for number in range(6)}
    return from_dictionaries("d", corpus, {"q1": "cat", "q2": "dog"}, {"test": {"q1": {"p1": 1}}})


@cache
def _scorer(kind: str, models: Path) -> Scorer:
    names = {
        "bm25": "bm25", "cross-encoder": str(models / "teacher"), "bi-encoder": str(models / "student"),
        "late-interaction": f"late-interaction:{models / 'student'}",
    }  # fmt: skip
    return load_scorer(names[kind], store=Store(models.parent / "store-of-types"))


def _score(material: Material, _: Path, kind: str, name: str) -> str:
    scorer, collection = _scorer(kind, material.models), _collection()
    queries, passages = (None if side is None else np.array(side) for side in POSITIONS[name])
    return _refused(lambda: scorer.score(collection.queries, collection.corpus, queries, passages))  # type: ignore[arg-type]


def _retrieved(material: Material, _: Path, k: Any) -> str:
    scorer, collection = _scorer("bm25", material.models), _collection()
    return _refused(lambda: scorer.retrieve(collection.queries, collection.corpus, np.array([0]), k))


def _arguments(_: Material, folder: Path, name: str, value: Any) -> str:
    return _refused(lambda: MultiAssistantTrainingArguments(str(folder), **{name: value}))


def _measured(_: Material, __: Path, name: str) -> str:
    return _refused(lambda: evaluate_run(*MEASURED[name]))


def _tested(_: Material, __: Path, name: str) -> str:
    return _refused(lambda: paired_test(*TESTED[name]))


def _loaded(_: Material, __: Path, name: str) -> str:
    return _refused(lambda: load_scorer(LOADED[name]))
