"""`distill`: a whole run from one typed configuration, the function behind the command of the same name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml
from sentence_transformers import SentenceTransformer

from st_mta.atomic import atomic_write_text
from st_mta.collections import load_collection
from st_mta.errors import InputError
from st_mta.hub.public import without_secrets
from st_mta.report.schema import Report
from st_mta.run.folder import RunFolder
from st_mta.scorers import load_student
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer


@dataclass
class DistillConfig:
    """Options of ``st-mta distill``, in a YAML file, as flags, or both (a flag wins)."""

    collection: str = field(
        metadata={"help": "What to learn on: a folder in BEIR layout, a Hub data set, a BEIR name, or pydocs."}
    )
    teacher: str = field(
        metadata={"help": "The strong ranker: a Hub id, a folder, bm25, minilm, or scores (.trec, .parquet)."}
    )
    student: str = field(metadata={"help": "The small model to train: a Hub id, a folder, or minilm."})
    output_dir: str = field(metadata={"help": "Folder for the student, run files, report and plots."})
    assistants: list[str] = field(
        default_factory=list, metadata={"help": "Other scorers between teacher and student, named like the teacher."}
    )
    student_layers: list[int] = field(
        default_factory=list, metadata={"help": "Layers of the student to keep, counted from 0 (all if not given)."}
    )
    num_iterations: int = field(default=3, metadata={"help": "Iterations of mine, score, train, evaluate, promote."})
    num_candidates: int = field(default=16, metadata={"help": "Passages per query, positives among them."})
    queries_per_iteration: int | None = field(
        default=None, metadata={"help": "Training queries drawn for an iteration (all if not given)."}
    )
    epochs: float = field(default=1.0, metadata={"help": "Passes over the queries of an iteration."})
    curriculum: str = field(
        default="all",
        metadata={
            "help": "Later iterations take all queries and the wrong ones twice, or only the wrong: all, wrong, "
            "or weighted by error."
        },
    )
    filter_false_negatives: str | None = field(
        default=None,
        metadata={
            "help": "Drop negatives the teacher scores above the positive less a margin (relative or absolute), or "
            "those nearly equal to a positive (similarity)."
        },
    )
    filter_margins: list[float] | None = field(
        default=None,
        metadata={
            "help": "That margin for each iteration, the last for all that follow (if not given 0, and 0.15 for "
            "similarity)."
        },
    )
    patience: int | None = field(
        default=1,
        metadata={
            "help": "So many iterations in a row without improvement on dev end the run; "
            "the number of iterations, or more, never does."
        },
    )
    regression_epochs: float = field(
        default=2.0, metadata={"help": "Passes of the warm-up by embedding regression; 0 leaves it out."}
    )
    regression_weight: float | None = field(
        default=None,
        metadata={"help": "Weight of embedding regression in every iteration (if not given: 3 where that can be)."},
    )
    batch_size: int = field(default=32, metadata={"help": "Queries per training step."})
    learning_rate: float = field(default=1e-4, metadata={"help": "Peak learning rate of an iteration."})
    max_length: int | None = field(
        default=None, metadata={"help": "Longest text in tokens, for all models (each model's own if not given)."}
    )
    alpha: float | None = field(
        default=None,
        metadata={
            "help": "Weight of the teacher; the assistant has 1 - alpha (if not given 1 where the teacher is better "
            "on dev than every assistant, else 0.5)."
        },
    )
    alpha_end: float | None = field(
        default=None, metadata={"help": "Where alpha goes, linearly over the run (it stays where it is if not given)."}
    )
    contrastive_weight: float = field(default=0.1, metadata={"help": "Weight of the in-batch contrastive term."})
    calibration: str = field(
        default="temperature", metadata={"help": "One scale for all scorers: temperature, zscore or affine."}
    )
    target_entropy: float = field(
        default=0.5, metadata={"help": "How spread out calibrated scores are, as a share of the greatest entropy."}
    )
    fusion: str = field(
        default="mean",
        metadata={"help": "How assistants are combined: mean, rrf, weighted (fitted on dev) or module:function."},
    )
    combinations: str = field(default="all", metadata={"help": "Which combinations compete: all, pairs or none."})
    selection: str = field(
        default="kl", metadata={"help": "Closeness to the teacher: kl, footrule, rbo or module:function."}
    )
    select_per: str = field(default="batch", metadata={"help": "Select an assistant per batch or per query."})
    seed: int = field(default=42, metadata={"help": "Seed of everything random."})
    device: str | None = field(default=None, metadata={"help": "cpu, or whatever the machine offers if not given."})
    precision: str = field(default="auto", metadata={"help": "auto (bf16 where it is faster), fp32 or bf16."})
    store: str | None = field(
        default=None, metadata={"help": "Folder of stored scores and embeddings (the user's cache if not given)."}
    )
    overwrite: bool = field(default=False, metadata={"help": "Begin anew where the output folder holds another run."})
    training: str | None = field(
        default=None,
        metadata={
            "help": "Any other training argument, as JSON, or as a section of the YAML file.",
            "section": MultiAssistantTrainingArguments,
        },
    )


def distill(config: DistillConfig) -> Report:
    """Runs, or goes on with, the distillation a configuration describes.

    Args:
        config: The options.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InputError: For everything a user can mend; nothing is written before all inputs are loaded.
    """
    folder = RunFolder(Path(config.output_dir))
    folder.refuse_unusable(inputs_of(config))
    if (finished := finished_report(folder, config)) is not None:
        return finished
    arguments = training_arguments(config)
    collection = load_collection(config.collection)
    student = build_student(config)
    trainer = MultiAssistantTrainer(
        student,
        arguments,
        teacher=config.teacher,
        assistants=config.assistants,
        collection=collection,
        store=config.store,
    )
    return run_trainer(trainer, folder, config)


def inputs_of(config: DistillConfig) -> list[str]:
    """What the user named to be read."""
    return [config.collection, config.teacher, config.student, *config.assistants, *filter(None, [config.store])]


def run_trainer(trainer: MultiAssistantTrainer, folder: RunFolder, config: Any) -> Report:
    """Trains, resuming what the folder holds, and keeps the configuration beside the result."""
    if config.overwrite:
        trainer.refuse_what_fails_later()
        folder.clear()
    report = trainer.train(resume_from_checkpoint=folder.journal.exists())
    atomic_write_text(folder.root / "config.yaml", yaml.safe_dump(_kept(config), sort_keys=False))
    return report


def finished_report(folder: RunFolder, config: Any) -> Report | None:
    """The report of a run that was finished under this very configuration, if the folder holds one."""
    kept = folder.root / "config.yaml"
    if not (folder.report.exists() and kept.exists()):
        return None
    if yaml.safe_load(kept.read_text(encoding="utf-8")) != json.loads(json.dumps(_kept(config))):
        return None
    report: Report = json.loads(folder.report.read_text(encoding="utf-8"))
    return report


def _kept(config: Any) -> dict[str, Any]:
    """The options that describe the run (not those that say how to treat an earlier one)."""
    kept: dict[str, Any] = without_secrets({k: v for k, v in asdict(config).items() if k != "overwrite"})
    return kept


def build_student(config: DistillConfig) -> SentenceTransformer:
    """The student, pruned where the options say so."""
    student = load_student(config.student, device=config.device)
    return prune_layers(student, config.student_layers) if config.student_layers else student


def training_arguments(config: DistillConfig) -> MultiAssistantTrainingArguments:
    """The options as arguments of the trainer."""
    same = (
        "num_iterations num_candidates queries_per_iteration curriculum patience regression_epochs regression_weight "
        "learning_rate max_length alpha alpha_end contrastive_weight calibration target_entropy fusion combinations "
        "selection select_per seed precision filter_false_negatives filter_margins"
    ).split()
    chosen: dict[str, Any] = {name: getattr(config, name) for name in same}
    chosen |= {"num_train_epochs": config.epochs, "per_device_train_batch_size": config.batch_size}
    chosen |= {"use_cpu": config.device == "cpu", **_other_arguments(config.training)}
    try:
        return MultiAssistantTrainingArguments(config.output_dir, **chosen)
    except TypeError as error:
        raise InputError(
            expected="training arguments that the host or st_mta knows",
            got=str(error),
            consequence="the option would have no effect",
            remedy="correct its name; MultiAssistantTrainingArguments lists them all",
        ) from error


def _other_arguments(training: str | dict[str, Any] | None) -> dict[str, Any]:
    """The option ``training``: JSON from the command line, a mapping from a YAML file."""
    try:
        parsed = json.loads(training) if isinstance(training, str) else training or {}
    except json.JSONDecodeError as error:
        parsed = error
    if isinstance(parsed, dict):
        return parsed
    raise InputError(
        expected='training arguments as JSON, such as {"warmup_steps": 10}',
        got=f"{training!r}",
        consequence="they would have no effect",
        remedy="correct the JSON, or write them as a section `training:` of the YAML file",
    )
