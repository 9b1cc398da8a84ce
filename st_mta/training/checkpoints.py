"""One training by the host's trainer that survives being killed at any moment."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset, DatasetDict
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.base.evaluation import BaseEvaluator
from sentence_transformers.sentence_transformer.data_collator import SentenceTransformerDataCollator
from torch import nn
from tqdm.auto import tqdm
from transformers import (
    PrinterCallback,
    ProgressCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from st_mta.assistants.targets import AssistantTargets
from st_mta.atomic import atomic_write_text, full_disk_explained
from st_mta.backbones import packed
from st_mta.hub.losses import describe_loss
from st_mta.losses import KeepLossWeights
from st_mta.losses.shares import row_shares
from st_mta.processes import processes
from st_mta.progress import progress
from st_mta.report.schema import SelectedOverSteps
from st_mta.run.journal import LOG
from st_mta.run.results import Trained
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.collator import TokenisingCollator
from st_mta.training.dealt import DealtBatches, EpochOfBatches
from st_mta.training.marked import MarkComplete, StopWhenAsked, checkpoint_to_resume
from st_mta.training.several import evaluated_once, make_common
from st_mta.training.students import cut_as_used, dropout_set
from st_mta.training.word_vectors import OccurringWords, occurring_words, take_whole_moments

SELECTED = "selected/"
"""Prefix of the log entries with the share of queries for which an assistant was selected."""
MOST_POINTS = 40
"""Stretches of steps that a report keeps of an iteration: a plot shows no more."""

Log = Sequence[dict[str, float]]


class StepBarCallback(TrainerCallback):
    """A bar over the steps with the last logged loss, instead of the host's line per log entry."""

    def __init__(self, description: str) -> None:
        self.description = description
        self.bar: tqdm | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Opens the bar."""
        if state.is_world_process_zero and not args.disable_tqdm:
            self.bar = progress(self.description, state.max_steps, "steps")
            self.bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Moves the bar."""
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any) -> None:
        """Shows the loss."""
        if self.bar is not None and "loss" in (logs := given.get("logs") or {}):
            self.bar.set_postfix(loss=f"{float(logs['loss']):.4f}")

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Closes the bar."""
        if self.bar is not None:
            self.bar.close()


class AlphaSchedule(TrainerCallback):
    """Sets the loss's ``alpha`` before each step, from ``start`` to ``end`` linearly over all steps of a run.

    alpha = start + (end - start) * (iteration + step / max_steps) / num_iterations. It depends on nothing but the
    step, so that a resumed training has the same alphas.

    Args:
        loss: A loss with an attribute ``alpha``.
        start: Value at the first step of the first iteration.
        end: Value that the last step of the last iteration comes near.
        iteration: Counted from 0.
        num_iterations: Iterations that the run was begun with, whether or not it stops early.
    """

    def __init__(self, loss: Any, start: float, end: float, iteration: int, num_iterations: int) -> None:
        self.loss, self.start, self.end = loss, start, end
        self.iteration, self.num_iterations = iteration, num_iterations
        self.alpha = self._value(0.0)

    def _value(self, done: float) -> float:
        """Alpha when this share of the iteration's steps is done."""
        return self.start + (self.end - self.start) * (self.iteration + done) / self.num_iterations

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Sets alpha for the step to come."""
        self.loss.alpha = self.alpha = self._value(state.global_step / state.max_steps)


def alpha_schedule(loss: Any, arguments: MultiAssistantTrainingArguments, iteration: int) -> AlphaSchedule | None:
    """The schedule of an iteration, counted from 0; None where ``alpha_end`` is not given."""
    if arguments.alpha_end is None:
        return None
    start = float(loss.alpha if arguments.alpha is None else arguments.alpha)
    return AlphaSchedule(loss, start, arguments.alpha_end, iteration, arguments.num_iterations)


class StageTrainer(SentenceTransformerTrainer):
    """The host's trainer for one stage; logs the texts trained on and which assistant was selected how often.

    Both are counted between two logs and kept in the log history, which checkpoints carry: a resumed training
    reports the same as one that was never killed (where ``save_steps`` is a multiple of ``logging_steps``).

    Several processes make the steps of one with a batch as large as all of theirs, of the same rows in the same order.

    Args:
        targets: Counts the selections of the loss, or None in the warm-up.
        schedule: Sets the loss's alpha, which is then logged, or None.
        arguments: As of the host's trainer.
    """

    def __init__(
        self, targets: AssistantTargets | None = None, schedule: AlphaSchedule | None = None, **arguments: Any
    ) -> None:
        self.targets, self.schedule = targets, schedule
        self.sequences = 0
        self.words: list[OccurringWords] = []
        self.epoch_of_batches = EpochOfBatches()
        self.loss_of_host = type(arguments["loss"]).__module__.startswith("sentence_transformers.")
        super().__init__(**arguments)
        self.add_callback(self.epoch_of_batches)

    def get_batch_sampler(self, dataset: Dataset, batch_size: int, drop_last: bool, **more: Any) -> Any:
        """The host's; under several processes for all of them, which then deal out every row.

        The host would drop the last rows there, since it has no way to deal them out.
        """
        size = self.args.world_size
        if size == 1:
            return super().get_batch_sampler(dataset, batch_size, drop_last, **more)
        whole = super().get_batch_sampler(dataset, batch_size * size, False, **more)
        return whole if isinstance(self.train_dataset, DatasetDict) else self._dealt(whole)

    def get_multi_dataset_batch_sampler(self, *given: Any, **named: Any) -> Any:
        """The host's; under several processes each batch, of one data set, is dealt out to all of them."""
        whole = super().get_multi_dataset_batch_sampler(*given, **named)
        return whole if self.args.world_size == 1 else self._dealt(whole)

    def _dealt(self, whole: Any) -> DealtBatches:
        self.epoch_of_batches.batches = DealtBatches(whole, self.args.world_size)
        return self.epoch_of_batches.batches

    def training_step(self, *given: Any, **named: Any) -> torch.Tensor:
        """A step without padding, where the student can do without and is not compiled."""
        with nullcontext() if self.args.torch_compile else packed(self.model):
            return super().training_step(*given, **named)

    def compute_loss(self, model: nn.Module, inputs: dict[str, Any], *given: Any, **named: Any) -> Any:
        """The host's; a loss of the host's is the mean over a process's rows, and weighs as many as it has."""
        labels = inputs.get("label")
        loss = super().compute_loss(model, inputs, *given, **named)
        if not self.loss_of_host or not isinstance(labels, torch.Tensor) or (weigh := row_shares(labels)) is None:
            return loss
        return loss * weigh(torch.ones(len(labels), device=labels.device))

    def create_optimizer(self, *given: Any, **named: Any) -> torch.optim.Optimizer:
        """The host's; it can load what earlier versions kept of it."""
        optimizer = super().create_optimizer(*given, **named)
        take_whole_moments(optimizer, self.words)
        return optimizer

    def collect_features(self, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], Any]:
        """Counts the texts that go through the student."""
        features, label = super().collect_features(inputs)
        if self.model.training:
            # A StaticEmbedding has the tokens of all texts in one row, and where each text begins.
            rows = (column.get("offsets", column.get("input_ids")) for column in features)
            self.sequences += sum(len(row) for row in rows if row is not None)
        return features, label

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds ``sequences`` and ``selected/<assistant>``, its share of the queries, since the last log, and alpha.

        Both are of all processes: the host has all of them log at the same steps.
        """
        if "loss" in logs or "train_runtime" in logs:
            logs = {**logs, "sequences": int(processes().sum([self.sequences])[0])}
            self.sequences = 0
            if self.targets is not None:
                shares = self.targets.frequencies(of_all=True)
                logs |= {f"{SELECTED}{name}": round(share, 6) for name, share in shares.items()}
            if self.schedule is not None:
                logs["alpha"] = round(self.schedule.alpha, 6)
        super().log(logs, start_time)


def train_with_checkpoints(
    student: SentenceTransformer,
    arguments: MultiAssistantTrainingArguments,
    dataset: Dataset | DatasetDict,
    collator: SentenceTransformerDataCollator,
    loss: nn.Module,
    *,
    targets: AssistantTargets | None = None,
    schedule: AlphaSchedule | None = None,
    evaluator: BaseEvaluator | None = None,
    callbacks: Sequence[TrainerCallback] = (),
    unwanted_callbacks: Sequence[type[TrainerCallback]] = (),
) -> Trained:
    """Trains the student in place with a fresh optimiser and schedule; resumes from the last whole checkpoint.

    Where there are several processes, all of them call it at the same time with the same arguments.

    Args:
        student: The model to train.
        arguments: Of this training; checkpoints are in the output folder, and stay until the student is saved. The
            log history is kept beside that folder.
        dataset: Rows for the collator.
        collator: Makes the batches.
        loss: The loss around the student.
        targets: Whose selections are logged.
        schedule: Of the loss's alpha.
        evaluator: The host's evaluator, run where ``eval_strategy`` says.
        callbacks: The user's callbacks.
        unwanted_callbacks: Types of the host's callbacks that the user has removed.

    Raises:
        InputError: If the training was begun by another number of processes.
    """
    folder = Path(str(arguments.output_dir))
    ids = None
    if isinstance(collator, TokenisingCollator):
        collator.tokenise(dataset)
        ids = collator.token_ids()
    trainer = StageTrainer(
        targets=targets,
        schedule=schedule,
        model=student,
        args=_for_the_host(arguments),
        train_dataset=dataset,
        data_collator=collator,
        loss=loss,
        evaluator=evaluated_once(evaluator),
        callbacks=[
            KeepLossWeights(loss),
            MarkComplete(arguments.save_total_limit),
            *([schedule] if schedule else []),
            *callbacks,
            StopWhenAsked(),
        ],
    )
    for unwanted in (ProgressCallback, PrinterCallback, *unwanted_callbacks):
        trainer.remove_callback(unwanted)
    trainer.add_callback(StepBarCallback(f"Training {folder.parent.name}"))
    make_common(loss, student)
    with (
        full_disk_explained(folder / "checkpoint"),
        dropout_set(student, arguments.dropout),
        cut_as_used(student),
        # A user's callback may hold on to weights by their shapes.
        occurring_words(student, None if _of_users(callbacks) else ids, arguments, loss) as trainer.words,
    ):
        trainer.train(resume_from_checkpoint=checkpoint_to_resume(folder))
    log = trainer.state.log_history
    losses = [entry["loss"] for entry in log if "loss" in entry]
    if processes().leads:
        atomic_write_text(folder.with_name(LOG), json.dumps(log))
    return Trained(
        steps=trainer.state.global_step,
        sequences=int(sum(entry.get("sequences", 0) for entry in log)),
        loss={"first": losses[0], "last": losses[-1]} if losses else None,
        selected=selected_shares(log),
        selected_over_steps=selected_over_steps(log),
        trained_with=describe_loss(loss),
    )


def _of_users(callbacks: Sequence[TrainerCallback]) -> bool:
    return any(type(callback).__module__.partition(".")[0] != "st_mta" for callback in callbacks)


def _for_the_host(arguments: MultiAssistantTrainingArguments) -> MultiAssistantTrainingArguments:
    changed: dict[str, Any] = {
        "save_total_limit": None,  # the older checkpoints go once the newer one is marked
        "dataloader_pin_memory": arguments.dataloader_pin_memory and arguments.device.type != "cpu",
    }
    arguments = replace(arguments, **changed)
    if arguments.device.type == "cuda":  # where pinned batches need not be waited for
        arguments.accelerator_config.non_blocking = True
    return arguments


def selected_shares(log: Log) -> dict[str, float]:
    """Mean share of each assistant over the logged steps, largest first.

    Args:
        log: Entries with "step" and "selected/<assistant>", the share since the entry before.
    """
    names, _, shares = _stretches(log, 1)
    return dict(sorted(zip(names, *shares.tolist()), key=lambda named: -named[1])) if names else {}


def selected_over_steps(log: Log, most_points: int = MOST_POINTS) -> SelectedOverSteps | None:
    """The same by stretches of steps, at most ``most_points`` of them; None where nothing was selected."""
    names, ends, shares = _stretches(log, most_points)
    by_name = {name: [round(share, 4) for share in course] for name, course in zip(names, shares.T.tolist())}
    return {"steps": ends, "shares": by_name} if names else None


def _stretches(log: Log, most: int) -> tuple[list[str], list[int], np.ndarray]:
    """The M names in the order of their first appearance, the L last steps and the (L, M) mean shares."""
    rows: dict[float, dict[str, float]] = {}
    for entry in log:
        shares = {key.removeprefix(SELECTED): share for key, share in entry.items() if key.startswith(SELECTED)}
        if shares and entry["step"]:
            rows.setdefault(entry["step"], shares)  # the last step may be logged twice, the second time without shares
    if not rows:
        return [], [], np.zeros((0, 0))
    names = list(dict.fromkeys(name for shares in rows.values() for name in shares))
    table = np.array([[shares.get(name, 0.0) for name in names] for shares in rows.values()])
    ends = np.array(list(rows), dtype=np.float64)
    lengths = np.diff(ends, prepend=0.0)[:, None]
    groups = np.array_split(np.arange(len(ends)), min(most, len(ends)))
    starts = [int(group[0]) for group in groups]
    means = np.add.reduceat(lengths * table, starts) / np.add.reduceat(lengths, starts)
    return names, [int(ends[group[-1]]) for group in groups], means
