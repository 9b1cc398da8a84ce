"""Fine-tuning by the host's own trainers, for those who have no ready teacher or assistants of their domain."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from datasets import Dataset
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SentenceTransformerTrainer
from sentence_transformers.cross_encoder import CrossEncoderTrainer, CrossEncoderTrainingArguments
from sentence_transformers.multi_vector_encoder import MultiVectorEncoderTrainer, MultiVectorEncoderTrainingArguments
from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments
from torch import nn
from transformers import PrinterCallback, ProgressCallback

from st_mta.collections import load_collection, with_dev_split
from st_mta.errors import InputError
from st_mta.mining import mine
from st_mta.options import option
from st_mta.precision import resolve_precision
from st_mta.ranges import POSITIVE, SEED, check_ranks, count_from
from st_mta.recipes.options import DEVICES, ModelSettings
from st_mta.run.folder import remove_checkpoints as _remove_checkpoints
from st_mta.scorers import ScorerOptions
from st_mta.scorers.weights import in_full_precision
from st_mta.stores import Store
from st_mta.training.checkpoints import StepBarCallback
from st_mta.training.diverged import refuse_diverged
from st_mta.training.marked import MarkComplete, StopWhenAsked, last_complete_checkpoint
from st_mta.training.one_gpu import OneGpu
from st_mta.types import Candidates, Collection, Scorer

TUNING = "Tuning"
CHECKPOINTS = "checkpoints"
Model: TypeAlias = SentenceTransformer | CrossEncoder | MultiVectorEncoder


class _OneGpu(OneGpu):
    also_on_several = False


class _BiEncoderArguments(_OneGpu, SentenceTransformerTrainingArguments):  # type: ignore[misc]
    pass


class _CrossEncoderArguments(_OneGpu, CrossEncoderTrainingArguments):  # type: ignore[misc]
    pass


class _MultiVectorArguments(_OneGpu, MultiVectorEncoderTrainingArguments):  # type: ignore[misc]
    pass


TRAINERS: dict[type, tuple[Any, Any]] = {
    SentenceTransformer: (SentenceTransformerTrainer, _BiEncoderArguments),
    CrossEncoder: (CrossEncoderTrainer, _CrossEncoderArguments),
    MultiVectorEncoder: (MultiVectorEncoderTrainer, _MultiVectorArguments),
}


@dataclass(frozen=True, kw_only=True)
class TuningSettings(ModelSettings):
    """How models are fine-tuned; the options of the commands that tune."""

    epochs: float = option(1.0, within=POSITIVE, group=TUNING, basic=True, help="Passes over the training queries.")
    batch_size: int = option(32, within=count_from(1), group=TUNING, basic=True, help="Queries per training step.")
    learning_rate: float = option(5e-5, within=POSITIVE, group=TUNING, basic=True, help="Peak learning rate.")
    num_negatives: int = option(4, within=count_from(1), group=TUNING, basic=True, help="Hard negatives per query.")
    range_min: int = option(
        0, within=count_from(0), group=TUNING, help="Retrieved passages skipped from the top when negatives are drawn."
    )
    range_max: int = option(30, within=count_from(1), group=TUNING, help="Depth from which negatives are drawn.")
    max_queries: int | None = option(
        None,
        within=count_from(1),
        group=TUNING,
        basic=True,
        help="At most so many training queries, a seeded sample (default: all).",
    )
    save_steps: int = option(200, within=count_from(1), group=TUNING, help="Steps between two checkpoints.")
    max_length: int | None = option(
        None,
        within=count_from(1),
        help="Longest text in tokens; a cross-encoder's pair twice that (default: the model's own limit).",
    )
    seed: int = option(42, within=SEED, help="Seed of samples and training.")
    device: str | None = option(None, within=DEVICES, help="cpu, or whatever the machine offers.")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranks(self.range_min, self.range_max)

    def scorer_options(self, store: Store) -> ScorerOptions:
        """How the scorers beside the tuned model are loaded."""
        return ScorerOptions(store, self.precision, self.device, self.max_length)


def tunable_collection(source: Collection | str | Path, settings: TuningSettings) -> Collection:
    """The collection, with a dev split; raises ``InputError`` where no training query is judged."""
    collection = with_dev_split(load_collection(source), settings.seed)
    if len(collection.queries_of("train")):
        return collection
    raise InputError(
        expected="training queries with a relevant passage each",
        got=f"none in {collection.name}",
        remedy="add qrels/train.tsv; without judgements, have a ready model label (st-mta teacher --labels-from), or "
        "distil from one (st-mta distill)",
    )


def tuning_lists(collection: Collection, retrievers: list[Scorer], settings: TuningSettings) -> Candidates:
    """Positives and random hard negatives of the training queries, positives first."""
    queries = collection.queries_of("train")
    queries = np.sort(np.random.default_rng(settings.seed).permutation(queries)[: settings.max_queries])
    lists = mine(
        collection,
        queries,
        retrievers,
        collection.qrels["train"],
        num_candidates=1 + settings.num_negatives,
        range_min=settings.range_min,
        depth=settings.range_max,
        sampling_strategy="random",
        seed=settings.seed,
    )
    return lists.select(np.flatnonzero(lists.lengths >= 2))


def column_dataset(collection: Collection, lists: Candidates) -> tuple[Dataset, Candidates]:
    """Columns query, positive, negative_1, ..., one passage each, as contrastive losses of the host take them.

    Lists shorter than the longest are left out, since the host wants every column filled.

    Returns:
        The dataset, and the lists that went into it, in its order.
    """
    width = int(lists.lengths.max())
    lists = lists.select(np.flatnonzero(lists.lengths == width))
    passages = lists.passages.reshape(-1, width)
    columns = {"query": collection.queries.take(lists.queries)}
    names = ["positive", *(f"negative_{number}" for number in range(1, width))]
    columns |= {name: collection.corpus.take(passages[:, place]) for place, name in enumerate(names)}
    return Dataset.from_dict(columns), lists


def tune(model: Model, dataset: Dataset, loss: nn.Module, settings: TuningSettings, folder: Path) -> dict[str, Any]:
    """Trains a model in place; a killed training resumes from its last whole checkpoint.

    Args:
        model: A model of the host.
        dataset: Columns as the loss wants them.
        loss: A loss of the host around the model.
        settings: How to train.
        folder: For checkpoints, which stay until [`remove_checkpoints`]; its name is shown on the bar.

    Returns:
        ``steps`` and ``seconds``.
    """
    model = in_full_precision(model)
    trainer_class, arguments_class = TRAINERS[type(model)]
    device = torch.device(settings.device or model.device)
    checkpoints = folder / CHECKPOINTS
    arguments = arguments_class(
        str(checkpoints),
        num_train_epochs=settings.epochs,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        warmup_steps=0.1,
        seed=settings.seed,
        use_cpu=device.type == "cpu",
        bf16=resolve_precision(settings.precision, device) == torch.bfloat16,
        save_steps=settings.save_steps,
        logging_steps=10,
        report_to="none",
        batch_sampler="no_duplicates" if type(model) is not CrossEncoder else "batch_sampler",
    )
    trainer = trainer_class(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=loss,
        callbacks=[MarkComplete(limit=1), StopWhenAsked()],
    )
    trainer.remove_callback(ProgressCallback)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepBarCallback(f"Tuning {folder.name}"))
    result = trainer.train(resume_from_checkpoint=last_complete_checkpoint(checkpoints))
    refuse_diverged(model, f"the tuning of {folder.name}", settings.learning_rate)
    return {"steps": trainer.state.global_step, "seconds": round(result.metrics["train_runtime"], 1)}


def remove_checkpoints(folder: Path) -> None:
    """Removes what [`tune`] left in a folder, and the folder where nothing else is in it; once the model is saved."""
    _remove_checkpoints(folder / CHECKPOINTS)
    with suppress(OSError):
        folder.rmdir()
