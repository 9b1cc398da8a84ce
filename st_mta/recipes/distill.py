"""`distill`: a whole run from one typed configuration, the function behind the command of the same name."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml
from sentence_transformers import SentenceTransformer

from st_mta.atomic import atomic_write_text
from st_mta.errors import InputError
from st_mta.hub.public import without_secrets
from st_mta.options import option
from st_mta.report import Report
from st_mta.run.folder import RunFolder
from st_mta.scorers import load_student
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.options import MethodOptions
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer

INPUTS, MACHINE = "Inputs and output", "Machine and evaluation"


@dataclass(kw_only=True)
class DistillConfig(MethodOptions):
    """Options of ``st-mta distill``, in a YAML file, as flags, or both (a flag wins)."""

    collection: str = option(
        group=INPUTS,
        basic=True,
        help="What to learn on: a folder in BEIR layout, a Hub data set, a BEIR name, or pydocs.",
    )
    teacher: str = option(
        group=INPUTS,
        basic=True,
        help="The strong ranker: a Hub id, a folder, bm25, minilm, or scores (.trec, .parquet).",
    )
    student: str = option(group=INPUTS, basic=True, help="The small model to train: a Hub id, a folder, or minilm.")
    output_dir: str = option(group=INPUTS, basic=True, help="Folder for the student, run files, report and plots.")
    assistants: list[str] = option(
        factory=list,
        group=INPUTS,
        basic=True,
        help="Other scorers between teacher and student, named like the teacher.",
    )
    student_layers: list[int] = option(
        factory=list, group=INPUTS, basic=True, help="Layers of the student to keep, counted from 0 (default: all)."
    )
    device: str | None = option(None, group=MACHINE, help="cpu, or whatever the machine offers.")
    store: str | None = option(
        None, group=MACHINE, help="Folder of stored scores and embeddings (default: the user's cache)."
    )
    overwrite: bool = option(
        False,
        group=INPUTS,
        basic=True,
        help="Delete the run in the output folder, and nothing else there, once all inputs are checked.",
    )
    training: dict[str, Any] | str | None = option(
        None,
        section=MultiAssistantTrainingArguments,
        help="Any other training argument of the host, as JSON, or as a section of the YAML file.",
    )


def distill(config: DistillConfig) -> Report:
    """Runs, or resumes, the distillation a configuration describes; a finished one answers from what is there.

    Args:
        config: The options.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InputError: For everything a user can mend; nothing is written before all inputs are loaded and checked.
    """
    inputs = [config.collection, config.teacher, config.student, *config.assistants, *filter(None, [config.store])]
    RunFolder(Path(config.output_dir)).refuse_unusable(inputs)
    trainer = MultiAssistantTrainer(
        build_student(config),
        training_arguments(config),
        teacher=config.teacher,
        assistants=config.assistants,
        collection=config.collection,
        store=config.store,
    )
    return run_trainer(trainer, config)


def run_trainer(trainer: MultiAssistantTrainer, config: Any) -> Report:
    """Trains, resuming what the folder holds, and keeps the configuration beside the result."""
    folder = trainer.distillation.folder
    if config.overwrite:
        folder.clear()
    report = trainer.train(resume_from_checkpoint=folder.journal.exists())
    options = {name: value for name, value in asdict(config).items() if name != "overwrite"}
    atomic_write_text(folder.root / "config.yaml", yaml.safe_dump(without_secrets(options), sort_keys=False))
    return report


def build_student(config: DistillConfig) -> SentenceTransformer:
    """The student, pruned where the options say so."""
    student = load_student(config.student, device=config.device)
    return prune_layers(student, config.student_layers) if config.student_layers else student


def training_arguments(config: DistillConfig) -> MultiAssistantTrainingArguments:
    """The options as arguments of the trainer."""
    chosen: dict[str, Any] = {field.name: getattr(config, field.name) for field in fields(MethodOptions)}
    chosen |= {"use_cpu": config.device == "cpu", **_other_arguments(config.training)}
    try:
        return MultiAssistantTrainingArguments(config.output_dir, **chosen)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(
            expected="training arguments that the host or st_mta knows, with values it accepts",
            got=str(error),
            remedy="correct its name or value; MultiAssistantTrainingArguments lists them all",
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
        remedy="correct the JSON, or write them as a section `training:` of the YAML file",
    )
