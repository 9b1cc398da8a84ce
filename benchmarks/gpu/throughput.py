"""Scoring and encoding by the size of their parts: pairs and texts a second, and what the GPU waits for meanwhile."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
from sentence_transformers import CrossEncoder, SentenceTransformer

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.busy import Profiled
from st_mta.collections import from_dictionaries
from st_mta.scorers import BiEncoderScorer, CrossEncoderScorer
from st_mta.stores import Store, embeddings
from st_mta.stores.scores import ScoreStore
from st_mta.types import Collection

PARTS = (2**10, 2**13, 2**15)
BLOCKS = (2**10, 2**12, 2**14)
PAIRS, TEXTS = 2**16, 2**16
PRECISION = "bf16"


def run(bench: Bench) -> None:
    """Scores the same pairs and encodes the same texts into a new store, by the size of the parts."""
    collection = texts(bench)
    score_parts(bench, collection)
    encode_blocks(bench, collection)


def texts(bench: Bench) -> Collection:
    """Passages of ordinary length, each told from the others by a number, and queries."""
    passages, count = bench.models.passages, bench.sized(TEXTS, 48)
    corpus = {f"p{i}": f"{passages[i % len(passages)]} {i}" for i in range(count)}
    known = bench.models.collection.queries.take(bench.models.speed.queries)
    queries = {f"q{i}": text for i, text in enumerate(known)}
    return from_dictionaries("texts", corpus, queries, {"test": {"q0": {"p0": 1}}})


def score_parts(bench: Bench, collection: Collection) -> None:
    """A cross-encoder over pairs, each of them another one."""
    pairs = np.arange(bench.sized(PAIRS, 48))
    passages, queries = pairs % len(collection.corpus), pairs % len(collection.queries)
    model = CrossEncoder(bench.models.speed.teacher, device=str(bench.device))
    scorer = CrossEncoderScorer(model, precision=PRECISION)
    scorer.predict(["a"] * 8, ["b"] * 8)
    for size in (16, 48) if bench.dry else PARTS:
        with bench.part(f"parts of {size}"), _store(bench) as store:
            scorer.store, scorer.part_size = store, size
            work = partial(scorer.score, collection.queries, collection.corpus, queries, passages)
            row = measured(
                bench, work, {"tokenising": (CrossEncoder, "preprocess"), "writing": (ScoreStore, "append")}
            )
            bench.row("scoring", part=size, pairs_per_second=round(len(pairs) / row["seconds"], 1), **row)


def encode_blocks(bench: Bench, collection: Collection) -> None:
    """A bi-encoder over passages."""
    every = np.arange(len(collection.corpus))
    model = SentenceTransformer(bench.models.speed.retriever, device=str(bench.device))
    for size in (16, 48) if bench.dry else BLOCKS:
        with bench.part(f"blocks of {size}"), _store(bench) as store:
            scorer = BiEncoderScorer(model, store=store, precision=PRECISION, block_size=size)
            scorer.encode(["a"] * 8, "document")
            work = partial(scorer.embed, collection.corpus, "document", every)
            timed = {"tokenising": (SentenceTransformer, "preprocess"), "writing": (embeddings, "write_block")}
            row = measured(bench, work, timed)
            bench.row("encoding", block=size, texts_per_second=round(len(every) / row["seconds"], 1), **row)


def measured(bench: Bench, work: Callable[[], Any], timed: dict[str, tuple[Any, str]]) -> dict[str, Any]:
    """Seconds of some work and of functions within it, and the share of the time in which the GPU computes.

    Args:
        bench: Of the stage.
        work: What is measured.
        timed: Name -> where a function is, and what it is called there.
    """
    profiled, spent = Profiled(bench.device), Counter[str]()
    with ExitStack() as stack:
        for name, (owner, function) in timed.items():
            stack.enter_context(_timed(name, owner, function, spent))
        profiled.start()
        work()
        seen = profiled.stop()
    shares = {f"{name}_share": round(spent[name] / seen.seconds, 3) for name in timed}
    return {"seconds": round(seen.seconds, 3), "busy_share": seen.share, **shares, "waits": seen.waits}


@contextmanager
def _timed(name: str, owner: Any, function: str, spent: Counter[str]) -> Iterator[None]:
    """Within it, the seconds spent in a function are added up."""
    original = getattr(owner, function)

    def within(*given: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return original(*given, **named)
        finally:
            spent[name] += time.perf_counter() - began  # type: ignore[assignment]

    with patch.object(owner, function, within):
        yield


@contextmanager
def _store(bench: Bench) -> Iterator[Store]:
    """A new store, which goes afterwards."""
    folder = bench.folder / "store"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield Store(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
