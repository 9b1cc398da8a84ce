"""Batches that are dealt out to the processes of a training, so that N of them make the steps of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch.utils.data import BatchSampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


def deal(rows: list[int], num_processes: int) -> list[list[int]]:
    """A batch's rows by process, none without any; where there are fewer rows than processes, each gets all of them.

    Neighbours go to different processes: batches may be sorted by length, and all are to have the same work.
    """
    if len(rows) < num_processes:
        return [list(rows) for _ in range(num_processes)]
    return [rows[rank::num_processes] for rank in range(num_processes)]


class DealtBatches(BatchSampler):
    """The batches of a sampler, each as one part for every process, one after the other.

    accelerate hands out every N-th of them to each process. Of the host's own batches, made for one process each,
    N different ones would make a step, of different data sets or in another order than in one process; and processes
    would be left without a batch at the end.

    Args:
        whole: Yields batches for all processes together.
        num_processes: N.
    """

    batch_size: Any = None  # for accelerate: batches may have any size, and nothing is to be filled up
    drop_last = False

    def __init__(self, whole: Any, num_processes: int) -> None:
        self.whole, self.num_processes = whole, num_processes

    @property
    def sampler(self) -> Any:
        """Of the whole batches; accelerate puts one with a seed in its place."""
        return getattr(self.whole, "sampler", None)

    @sampler.setter
    def sampler(self, sampler: Any) -> None:
        self.whole.sampler = sampler

    def set_epoch(self, epoch: int) -> None:
        """Which epoch's order comes next."""
        for part in (self.whole, self.sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self.whole) * self.num_processes

    def __iter__(self) -> Iterator[list[int]]:
        for rows in self.whole:
            yield from deal(rows, self.num_processes)


class EpochOfBatches(TrainerCallback):
    """Tells dealt batches which epoch begins; where training resumes within one, the host does not.

    Attributes:
        batches: Of the training, once they are made.
    """

    batches: DealtBatches | None = None

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Counts epochs from 0."""
        if self.batches is not None:
            self.batches.set_epoch(int(state.epoch or 0))
