"""What is measured in one process: which side, in which precision, on how many threads."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

STOCK, OURS = "stock", "st_mta"
SIDES = (STOCK, OURS)
STATIONS = ("mine", "score", "encode", "train", "evaluate")
ITERATION = ("mine", "score", "train", "evaluate")
"""What an iteration consists of; encoding is a part of its first and its last station."""
TIMES = "times"
MEMORY_OF = ("score", "train")
"""The stations whose peak memory is measured, each in a process of its own."""


@dataclass(frozen=True)
class Configuration:
    """One process.

    Attributes:
        measure: [`TIMES`] of all stations, or the station whose memory is measured.
        side: "stock" or "st_mta".
        precision: "fp32" or "bf16".
        threads: Of torch and of the tokenizers.
        seed: Of the training; also tells repetitions apart.
        queries: Training queries.
    """

    measure: str
    side: str
    precision: str
    threads: int
    seed: int
    queries: int

    @property
    def name(self) -> str:
        """For files and progress."""
        return f"{self.measure}-{self.side}-{self.precision}-{self.threads}t-{self.seed}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its process; how many threads there are must be known before libraries start them."""
        threads = str(self.threads)
        limits = dict.fromkeys(("OMP_NUM_THREADS", "RAYON_NUM_THREADS"), threads)
        return {**os.environ, **limits, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}


def all_configurations(
    queries: int, seeds: int, threads: Sequence[int], precisions: Sequence[str]
) -> Iterator[Configuration]:
    """Every process in the order in which they run.

    A round is a seed. Within it the sides alternate, and the next round takes them the other way round, so that a
    machine that gets slower or faster meanwhile favours none. Memory comes last, on the most threads.
    """
    arms = list(product(precisions, SIDES))
    for seed in range(seeds):
        for number, (precision, side) in product(threads, arms if seed % 2 == 0 else arms[::-1]):
            yield Configuration(TIMES, side, precision, number, seed, queries)
    for station, (precision, side) in product(MEMORY_OF, arms):
        yield Configuration(station, side, precision, max(threads), 0, queries)
