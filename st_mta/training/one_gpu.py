"""Several GPUs of a machine need several processes: without a launcher one of them is used."""

from __future__ import annotations

import logging
from functools import cache

logger = logging.getLogger(__name__)


class OneGpu:
    """Stands before a class of the host's training arguments, so that one process trains on ``device`` alone.

    With several GPUs in sight the host would train with ``DataParallel``, which multiplies the batch by their number:
    another training than the one asked for, and another on every machine.

    Attributes:
        also_on_several: Whether the training makes use of several processes.
    """

    also_on_several = True

    @property
    def n_gpu(self) -> int:
        """1, or 0 where there is no GPU or none is wanted."""
        visible = int(super().n_gpu)  # type: ignore[misc]
        if visible > 1:
            _say_so(visible, self.also_on_several)
        return min(visible, 1)


@cache
def _say_so(visible: int, also_on_several: bool) -> None:
    """Once in a process, however many trainings it runs."""
    more = f"; to train on all, start it with torchrun --nproc_per_node {visible}" if also_on_several else ""
    logger.warning("%d GPUs are visible, and this one process trains on one of them%s.", visible, more)
