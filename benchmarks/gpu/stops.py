"""Where a training step waits for the GPU: in st_mta, which it should not, and in its hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from benchmarks.gpu.bench import Bench
from benchmarks.gpu.trainings import WARM_UP, Training
from benchmarks.gpu.waits import Waits, waits

KINDS = {
    "listwise": Training("kl"),
    "listwise, 3 assistants": Training("kl", assistants=3),
    "warm-up": Training(WARM_UP),
    "filtered contrastive": Training("filtered-contrastive"),
    "multi-level": Training("multi-level"),
    "margin MSE": Training("margin-mse"),
}
WATCHED = 2
"""The step that is looked at: the first looks at the batch, and libraries get ready."""


def run(bench: Bench) -> None:
    """Notes every place of every kind of step, and which kinds are free of ours."""
    for name, training in KINDS.items():
        with bench.part(name):
            found = watched(training, bench)
            bench.row("steps", training=name, waits=found.total, ours=len(found.ours))
            for place, times in sorted(found.places.items()):
                bench.row("places", training=name, place=place, via=found.via[place], times=times)


def watched(training: Training, bench: Bench) -> Waits:
    """The calls of one forward and backward pass that wait."""
    kept: list[Waits] = []
    training.run(bench.models, bench.folder, bench.device, lambda number: _watching(number, bench.device, kept))
    return kept[0]


@contextmanager
def _watching(number: int, device: torch.device, kept: list[Waits]) -> Iterator[None]:
    if number != WATCHED:
        yield
        return
    with waits(device) as found:
        kept.append(found)
        yield
