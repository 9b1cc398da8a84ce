"""Where a training step waits for the GPU: in st_mta, which it should not, and in its hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

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
NOT_ON_A_GPU = ("losses/batch.py:", "refuse_infinite"), ("training/word_vectors.py:", "forward")
"""Files and functions that look at values on a CPU alone."""


def run(bench: Bench) -> None:
    """Notes every place of every kind of step, and which kinds are free of ours."""
    for name, training in KINDS.items():
        with bench.part(name):
            found = watched(training, bench)
            bench.row("steps", training=name, waits=found.total, ours=len(of_ours(found, bench.device)))
            for place, times in sorted(found.places.items()):
                bench.row("places", training=name, place=place, via=found.via[place], times=times)


def watched(training: Training, bench: Bench) -> Waits:
    """The calls of one step that wait: on a CPU of its forward and backward pass, on a GPU until the next begins.

    Between two passes a CPU could not tell what reads back from what makes the next batch.
    """
    kept: list[Waits] = []
    with ExitStack() as whole:

        @contextmanager
        def around(number: int) -> Iterator[None]:
            if number > WATCHED:
                whole.close()
            if number == WATCHED:
                kept.append(whole.enter_context(waits(bench.device)))
            yield
            if bench.device.type == "cpu":
                whole.close()

        training.run(bench.models, bench.folder, bench.device, around)
    return kept[0]


def of_ours(found: Waits, device: torch.device) -> list[str]:
    """Places in st_mta; those that only look at values where that costs nothing are left out on a CPU."""
    passed = NOT_ON_A_GPU if device.type == "cpu" else ()
    return [place for place in found.ours if not any(file in place and name in place for file, name in passed)]
