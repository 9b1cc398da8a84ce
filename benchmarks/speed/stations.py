"""Measures one configuration in this process and prints what it found as JSON.

python -m benchmarks.speed.stations MATERIAL CONFIGURATION
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from torch.nn.modules.module import register_module_forward_hook

from benchmarks.memory import forget_peak, memory_now, memory_peak
from benchmarks.speed.configuration import OURS, STATIONS, STOCK, TIMES, Configuration
from benchmarks.speed.material import BATCH_SIZE, Material, load_material
from benchmarks.speed.ours import Ours
from benchmarks.speed.stock import Stock
from st_mta.evaluation import evaluate_scorer
from st_mta.precision import precision_name
from st_mta.scored import ScoredCandidates
from st_mta.scorers import BiEncoderScorer

WARM_UP_QUERIES, WARM_UP_TEXTS = 8, 64
STEPS_FOR_MEMORY = 4


class Side(Protocol):
    """A pipeline, station by station."""

    def frozen(self, folder: str) -> Any:
        """A bi-encoder for encoding, read from its folder."""

    def mine(self) -> Any:
        """Candidates of the training queries."""

    def score(self, scored: ScoredCandidates) -> np.ndarray:
        """(P,) scores of the cross-encoder."""

    def encode(self, texts: list[str]) -> np.ndarray:
        """(n, D) embeddings."""

    def train(self, scored: ScoredCandidates, student: SentenceTransformer, seed: int) -> None:
        """One epoch, in place."""

    def evaluate(self, student: Any) -> Any:
        """Measures on the test split of what ``frozen`` gave."""


SIDE_OF: dict[str, Callable[[Material, str, Path], Side]] = {STOCK: Stock, OURS: Ours}


def main() -> None:
    """Measures and prints."""
    configuration = Configuration(**json.loads(sys.argv[2]))
    torch.set_num_threads(configuration.threads)
    material = load_material(Path(sys.argv[1]), configuration.queries)
    with tempfile.TemporaryDirectory(prefix="speed-") as work:
        side = SIDE_OF[configuration.side](material, configuration.precision, Path(work))
        measure = times if configuration.measure == TIMES else memory
        print(json.dumps(measure(side, material, configuration, Path(work))))


def times(side: Side, material: Material, configuration: Configuration, work: Path) -> dict[str, Any]:
    """Seconds of every station, the student's nDCG@10, and the number formats that the models computed in.

    Everything but the search runs on a few texts first, so that what libraries do only once does not count. Models
    are read from disk outside of the stations.
    """
    computed_in = _warm_up(side, material)
    seconds: dict[str, dict[str, float]] = {}
    seconds["mine"] = _seconds(side.mine)
    seconds["score"] = _seconds(lambda: side.score(material.scored))
    seconds["encode"] = _seconds(lambda: side.encode(material.texts))
    student = SentenceTransformer(material.student)
    seconds["train"] = _seconds(lambda: side.train(material.scored, student, configuration.seed))
    student.save_pretrained(str(work / "student"))
    trained = side.frozen(str(work / "student"))
    seconds["evaluate"] = _seconds(lambda: side.evaluate(trained))
    assert tuple(seconds) == STATIONS
    return {"seconds": seconds, "computed_in": computed_in, "ndcg@10": _quality(str(work / "student"), material)}


def memory(side: Side, material: Material, configuration: Configuration, work: Path) -> dict[str, Any]:
    """Bytes "before" the station and at the "peak" of a few steps' worth of lists."""
    scored = material.scored.select(np.arange(len(material.scored))[: STEPS_FOR_MEMORY * BATCH_SIZE])
    station: Callable[[], Any]
    if configuration.measure == "train":
        station = partial(side.train, scored, SentenceTransformer(material.student), configuration.seed)
    else:
        side.score(scored.select(np.arange(1)))  # reads the model
        station = partial(side.score, scored)
    before = memory_now()
    forget_peak()
    station()
    return {"before": before, "peak": memory_peak()}


def _seconds(work: Callable[[], Any]) -> dict[str, float]:
    """On the clock, and of all cores together in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall": round(time.perf_counter() - wall, 3), "cpu": round(time.process_time() - cpu, 3)}


def _warm_up(side: Side, material: Material) -> dict[str, list[str]]:
    """Runs the stations with a model in them on little; which number formats their matrix products came out in."""
    scored, texts = material.scored.select(np.arange(WARM_UP_QUERIES)), material.texts[:WARM_UP_TEXTS]
    student = SentenceTransformer(material.student)
    stations: dict[str, Callable[[], Any]] = {
        "score": lambda: side.score(scored),
        "encode": lambda: side.encode(texts),
        "train": lambda: side.train(scored, student, 0),
    }
    computed_in = {}
    for name, work in stations.items():
        with _number_formats() as found:
            work()
        computed_in[name] = sorted(found)
    return computed_in


@contextmanager
def _number_formats() -> Iterator[set[str]]:
    """Collects the formats of what linear layers give, anywhere in the process.

    Of those inside transformers: a pooler or a head may well compute in another one.
    """
    found: set[str] = set()

    def note(module: torch.nn.Module, _: Any, output: Any) -> None:
        if isinstance(module, torch.nn.Linear) and output.ndim > 2:
            found.add(precision_name(output.dtype))

    hook = register_module_forward_hook(note)
    try:
        yield found
    finally:
        hook.remove()


def _quality(folder: str, material: Material) -> float:
    """nDCG@10 of a student on the test split, in fp32 whatever it was trained in."""
    scorer = BiEncoderScorer(SentenceTransformer(folder), precision="fp32")
    return evaluate_scorer(scorer, material.collection, "test")[1]["ndcg@10"]


if __name__ == "__main__":
    main()
