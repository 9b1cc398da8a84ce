"""Some steps of each kind of training, as a run makes them, with something done around every step."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn

from benchmarks.gpu.material import Models
from benchmarks.speed.material import LEARNING_RATE, SCALE
from st_mta.assistants.targets import AssistantTargets
from st_mta.backbones import ability
from st_mta.losses import find_loss
from st_mta.scorers import BiEncoderScorer
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.checkpoints import StageTrainer, train_with_checkpoints
from st_mta.training.collator import listwise_dataset
from st_mta.training.regression import (
    regress_embeddings,
    regression_embeddings,
    regression_positions,
    warm_up_arguments,
)
from st_mta.training.run_state import listwise_collator
from st_mta.training.students import DOCUMENTS

WARM_UP = "warm-up"
ASSISTANTS = ("first", "second", "third")
Around = Callable[[int], AbstractContextManager[Any]]
"""What is entered for a step, numbered from 0."""


@dataclass(frozen=True)
class Training:
    """What is trained, and how.

    Attributes:
        loss: A word of ``LOSSES``, or [`WARM_UP`].
        assistants: Whose scores stand beside the teacher's.
        steps: How many.
        batch: Queries, or texts, of a step.
        precision: "fp32" or "bf16".
        workers: Processes that make batches.
        packed: Whether rows are computed without padding, on a GPU too.
        ahead: Whether batches are copied to the device without waiting for it.
    """

    loss: str = "kl"
    assistants: int = 0
    steps: int = 4
    batch: int = 32
    precision: str = "fp32"
    workers: int = 0
    packed: bool = False
    ahead: bool = False

    @property
    def name(self) -> str:
        """For files."""
        return "-".join(str(value) for value in vars(self).values())

    def run(self, models: Models, folder: Path, device: torch.device, around: Around | None = None) -> None:
        """Trains a fresh student.

        Args:
            models: What to work on.
            folder: For checkpoints, which are not written.
            device: Where.
            around: Entered for every step: forward and backward pass, without the optimiser's.
        """
        student = SentenceTransformer(models.speed.student, device=str(device))
        with packing(device, self.packed), _around_steps(around or (lambda _: nullcontext())):
            work = self._warm_up if self.loss == WARM_UP else self._listwise
            work(models, self._arguments(folder, device), student)

    def _arguments(self, folder: Path, device: torch.device) -> MultiAssistantTrainingArguments:
        return MultiAssistantTrainingArguments(
            str(folder / self.name / "checkpoints"),
            max_steps=self.steps,
            per_device_train_batch_size=self.batch,
            regression_batch_size=self.batch,
            learning_rate=LEARNING_RATE,
            precision=self.precision,
            bf16=self.precision == "bf16",
            save_strategy="no",
            logging_steps=self.steps,
            disable_tqdm=True,
            dataloader_num_workers=self.workers,
            accelerator_config={"non_blocking": self.ahead},
            use_cpu=device.type == "cpu",
        )

    def _listwise(
        self, models: Models, arguments: MultiAssistantTrainingArguments, student: SentenceTransformer
    ) -> None:
        scored, collection = models.scored(self.assistants), models.collection
        targets = targets_of(self.assistants)
        loss = loss_of(self.loss, student, targets, models, student.device)
        collator = listwise_collator(student, loss, arguments, student.device.type, collection.corpus, {})
        dataset = listwise_dataset(scored, collection.queries)
        train_with_checkpoints(student, arguments, dataset, collator, loss, targets=targets)

    def _warm_up(
        self, models: Models, arguments: MultiAssistantTrainingArguments, student: SentenceTransformer
    ) -> None:
        collection, target = models.collection, BiEncoderScorer(models.speed.retriever, precision="fp32")
        changed = {**warm_up_arguments(arguments), "max_steps": self.steps, "learning_rate": LEARNING_RATE}
        for name, value in changed.items():
            setattr(arguments, name, value)
        texts = {"query": collection.queries, DOCUMENTS: collection.corpus}
        positions = regression_positions(collection, arguments)
        regress_embeddings(student, texts, positions, regression_embeddings(target, collection), arguments)


def targets_of(assistants: int) -> AssistantTargets:
    """Fusion and selection over so many assistants."""
    return AssistantTargets(ASSISTANTS[:assistants], [1.0] * (1 + assistants), student_scale=SCALE)


def loss_of(
    word: str,
    student: SentenceTransformer,
    targets: AssistantTargets,
    models: Models,
    device: torch.device,
    **options: Any,
) -> nn.Module:
    """A loss of a run by its word, with all its terms on, without the terms returned one by one.

    Losses that look into a teacher's layers look into the material's cross-encoder.
    """
    factory = find_loss(word)
    teacher = CrossEncoder(models.speed.teacher, device=str(device)) if factory.reads else None
    chosen: dict[str, Any] = {"scale": SCALE, "contrastive_scale": SCALE, "alpha": 0.5, **options}
    return factory(student, targets, teacher=teacher, **chosen)


@contextmanager
def packing(device: torch.device, packed: bool) -> Iterator[None]:
    """Within it, rows are computed without padding on the device, or with it."""
    devices = (device.type,) if packed else ()
    with patch.object(ability, "DEVICES", devices):
        yield


@contextmanager
def _around_steps(around: Around) -> Iterator[None]:
    step, numbers = StageTrainer.training_step, itertools.count()

    def within(trainer: StageTrainer, *given: Any, **named: Any) -> torch.Tensor:
        with around(next(numbers)):
            return step(trainer, *given, **named)

    with patch.object(StageTrainer, "training_step", within):
        yield
