"""Stations of an iteration beside the stock pipeline, as benchmarks/speed makes them: seconds, rate and memory."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from benchmarks.gpu.bench import Bench
from benchmarks.memory import forget_peak, memory_peak
from benchmarks.speed.configuration import OURS, STOCK
from benchmarks.speed.ours import Ours
from benchmarks.speed.stock import Stock

BATCHES = (32, 256)
STATIONS = ("encode", "score", "mine", "train")
WARM_UP = 8
"""Queries, and texts, on which everything runs once before."""
MAKERS: dict[str, Callable[..., Any]] = {STOCK: Stock, OURS: Ours}


def run(bench: Bench) -> None:
    """Measures both sides in turn, and how many times quicker st_mta is."""
    seconds: dict[tuple[Any, ...], float] = {}
    for precision, batch, side in product(bench.precisions, (8,) if bench.dry else BATCHES, MAKERS):
        with bench.part(f"{side} {precision} {batch}"):
            for station, count, work in _stations(bench, side, precision, batch):
                forget_peak()
                took = seconds[station, precision, batch, side] = bench.seconds(work)
                bench.row(
                    "stations",
                    station=station,
                    side=side,
                    precision=precision,
                    batch=batch,
                    seconds=round(took, 3),
                    per_second=round(count / took, 1),
                    peak_mib=round(memory_peak() / 2**20),
                )
    _ratios(bench, seconds)


def _ratios(bench: Bench, seconds: dict[tuple[Any, ...], float]) -> None:
    """The stock pipeline's time over ours, in the same precision and at its quicker batch size."""
    for station, precision in product(STATIONS, bench.precisions):
        best: dict[str, float] = {}
        for (one, other, _, side), took in seconds.items():
            if (one, other) == (station, precision):
                best[side] = min(took, best.get(side, took))
        if len(best) == len(MAKERS):
            times = round(best[STOCK] / best[OURS], 2)
            bench.row("times quicker", station=station, precision=precision, times=times)


def _stations(bench: Bench, side: str, precision: str, batch: int) -> list[tuple[str, int, Callable[[], Any]]]:
    """Station, what it counts, and its work; everything has run once on little."""
    speed = bench.models.speed
    folder = bench.folder / f"{side}-{precision}-{batch}"
    made = MAKERS[side](speed, precision, folder, batch)
    scored, texts = speed.scored, _texts(bench)
    student = SentenceTransformer(speed.student, device=str(bench.device))
    few = scored.select(np.arange(WARM_UP))
    made.encode(texts[:WARM_UP])
    made.score(few)
    made.train(few, student, 0)
    return [
        ("encode", len(texts), lambda: made.encode(texts)),
        ("score", len(scored.candidates.passages), lambda: made.score(scored)),
        ("mine", len(speed.queries), made.mine),
        ("train", len(scored), lambda: made.train(scored, student, 0)),
    ]


def _texts(bench: Bench) -> list[str]:
    """As many passages as there are times for."""
    passages, wanted = bench.models.passages, bench.sized(2**14, 32)
    return (passages * (1 + wanted // len(passages)))[:wanted]
