"""`distill`: a whole run from one typed configuration, the function behind the command of the same name."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import yaml
from sentence_transformers import CrossEncoder, SentenceTransformer

from st_mta.atomic import atomic_write_text
from st_mta.collections import load_collection
from st_mta.collections.load import refuse_unknown
from st_mta.errors import InputError
from st_mta.hub.secrets import without_secrets
from st_mta.losses.by_name import check_loss, check_objective
from st_mta.options import option
from st_mta.outputs import check_output_folder
from st_mta.processes import processes
from st_mta.ranges import count_from
from st_mta.recipes.by_name import crediting_recipe, filled_by_recipe, load_recipe
from st_mta.recipes.options import DEVICES, INPUTS, SOURCES, STORE, STORES
from st_mta.report import Report
from st_mta.run.folder import RunFolder
from st_mta.run.lock import one_at_a_time
from st_mta.run.prepared import prepared
from st_mta.scorers import load_any_student
from st_mta.scorers.reranking_forms import FORMS
from st_mta.scorers.reranking_student import RERANKER_PREFIX
from st_mta.stores.store import default_folder
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.distillation import Distillation
from st_mta.training.options import MethodOptions
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.training.vocabulary import prune_vocabulary
from st_mta.types import Collection

logger = logging.getLogger(__name__)

MACHINE = "Machine and evaluation"
WHOLE, COLLECTION = "whole", "collection"
NOT_KEPT = ("overwrite", "config_file", "plan", "plan_json")
"""Options that say what a command does, and not what a run is."""


@filled_by_recipe
@dataclass(kw_only=True)
class DistillConfig(MethodOptions):
    """Options of ``st-mta distill``, in a YAML file, as flags, or both (a flag wins).

    With a ``recipe`` what is not given is as the recipe says.
    """

    collection: str = option(group=INPUTS, help=f"What to learn on: {SOURCES}.")
    teacher: str = option(
        group=INPUTS,
        help="The strong ranker: a Hub id, a folder, bm25, minilm, scores (.trec, .parquet, stored:FOLDER), or a "
        "module:function (list:module:function scores whole lists, pairwise:module:function compares passages). "
        "late-interaction:MODEL reads a bi-encoder token by token; anncur:RERANKER also brings candidates; a bare "
        f"language model is asked in a form named behind it (lm-reranker:MODEL#FORM, one of {', '.join(FORMS)}).",
    )
    teacher_view: str | None = option(
        None,
        group=INPUTS,
        help="Folder of what the teacher reads in the place of the collection's texts: corpus.jsonl or queries.jsonl "
        "under the same ids, such as another language.",
    )
    student: str = option(
        group=INPUTS,
        help="The small model to train: a Hub id, a folder, or minilm. A cross-encoder, or cross-encoder:ENCODER with "
        "a new head, is trained to re-rank what an assistant such as bm25 finds.",
    )
    output_dir: str = option(group=INPUTS, help="Folder for the student, run files, report and plots.")
    assistants: list[str] = option(
        factory=list, group=INPUTS, basic=True, help="Scorers between teacher and student, named like the teacher."
    )
    student_layers: list[int] = option(
        factory=list,
        within=count_from(0),
        group=INPUTS,
        basic=True,
        help="Layers of the student to keep, counted from 0 (default: all).",
    )
    ladder: list[int] = option(
        factory=list,
        within=count_from(1),
        group=INPUTS,
        basic=True,
        help="Distil step by step into ever fewer layers, such as 4 2: each student is cut from the one before, which "
        "becomes one of its assistants. Every step is a run in a folder of its own in the output folder, 4-layers.",
    )
    student_vocabulary: str = option(
        WHOLE,
        choices=(WHOLE, COLLECTION),
        group=INPUTS,
        basic=True,
        help="Tokens of the student to keep; collection drops the word vectors of those that neither the collection "
        "(without its test queries) nor a general share of the vocabulary needs.",
    )
    recipe: str | None = option(
        None,
        group=INPUTS,
        basic=True,
        help="A published method by its name: its options hold where neither flags nor --config say otherwise "
        "(st-mta recipes lists them).",
    )
    device: str | None = option(None, within=DEVICES, group=MACHINE, help="cpu, or whatever the machine offers.")
    store: str | None = option(None, within=STORES, group=MACHINE, help=STORE)
    overwrite: bool = option(
        False,
        group=INPUTS,
        basic=True,
        help="Delete the run in the output folder (students, iterations, run files, reports), once all inputs are "
        "checked.",
    )
    training: dict[str, Any] | None = option(
        None,
        group=MACHINE,
        section=MultiAssistantTrainingArguments,
        help="Any other training argument of the host, as JSON, or as a section of the YAML file.",
    )
    config_file: str | None = field(default=None, metadata={"given": False})
    """The file that the options came from; an input like others, and no option."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loss(self.loss, self.loss_options)
        check_objective(self.loss, self.objective, self.objective_options, self.query_weights)
        if self.ladder != sorted(set(self.ladder), reverse=True):
            raise InputError(
                expected="ladder to name ever fewer layers, such as 4 2", got=str(self.ladder), remedy="order them"
            )


@one_at_a_time
def distill(config: DistillConfig) -> Report:
    """Runs, or resumes, the distillation a configuration describes; a finished one answers from what is there.

    Args:
        config: The options.

    Returns:
        The report, as in ``report.json``.

    Raises:
        InputError: For everything a user can mend; nothing is written before all inputs are loaded and checked.
    """
    if config.ladder:
        from st_mta.recipes.ladder import climb_down  # it distils rung by rung, through this function

        return climb_down(config)
    processes().on_leader(lambda: check_run_folder(config, inputs_of(config)))
    return run_trainer(prepared(lambda: _trainer(config)), config)


def inputs_of(config: DistillConfig) -> list[str]:
    """What a run reads, as the user named it; none of it may lie where the run writes."""
    inputs = [
        config.collection,
        config.teacher,
        config.student,
        *config.assistants,
        *([config.teacher_view] if config.teacher_view else []),
        *([config.query_generator] if config.query_generator else []),
        str(config.store or default_folder()),
    ]
    if config.overwrite and config.config_file is not None:
        inputs.append(config.config_file)  # deleted with the run, it would be lost if the new one is killed
    return inputs


def check_run_folder(config: Any, inputs: Iterable[str]) -> None:
    """Raises ``InputError`` where the output folder cannot take a run on these inputs, named as the user did."""
    RunFolder(check_output_folder(config.output_dir)).refuse_unusable(inputs, overwrite=config.overwrite)


def prepared_distillation(config: DistillConfig) -> Distillation:
    """A run that was loaded and checked, and of which nothing is written; [`distill`] would begin or resume it.

    Raises:
        InputError: As of [`distill`].
    """
    if config.ladder:
        raise InputError(
            expected="one distillation to prepare",
            got=f"a ladder of {len(config.ladder)} further ones",
            remedy="leave --ladder out: the plan is then that of its first step, and the others cost less",
        )
    check_run_folder(config, inputs_of(config))
    with crediting_recipe(config.recipe, vars(config)):
        student, arguments, given = _loaded(config)
        return Distillation.prepare(student, arguments, **given)


def _trainer(config: DistillConfig) -> MultiAssistantTrainer:
    """Everything loaded and checked."""
    with crediting_recipe(config.recipe, vars(config)):
        student, arguments, given = _loaded(config)
        return MultiAssistantTrainer(student, arguments, **given)


def _loaded(config: DistillConfig) -> tuple[SentenceTransformer, MultiAssistantTrainingArguments, dict[str, Any]]:
    """The student, the arguments, and what else a trainer takes."""
    arguments = training_arguments(config)
    refuse_unknown([config.collection])
    student = load_any_student(config.student, device=str(arguments.device))
    _refuse_other_kind(student, config)
    if config.student_layers:
        student = prune_layers(student, config.student_layers)
    collection: Collection | str = config.collection
    if config.student_vocabulary == COLLECTION:
        _refuse_words_of_reranker(student, config.student)
        collection = load_collection(config.collection)
        before = _weights(student)
        student = prune_vocabulary(student, collection, prompts=_prompts(arguments))
        logger.info("Cut in vocabulary, the student has %s of %s weights.", f"{_weights(student):,}", f"{before:,}")
    given = {
        "teacher": config.teacher,
        "assistants": config.assistants,
        "collection": collection,
        "store": config.store,
        "teacher_view": config.teacher_view,
    }
    return student, arguments, given


def _refuse_other_kind(student: SentenceTransformer | CrossEncoder, config: DistillConfig) -> None:
    """Raises ``InputError`` for a bi-encoder where the recipe is one for re-rankers."""
    if config.recipe is None or isinstance(student, CrossEncoder):
        return
    if load_recipe(config.recipe).trains == RERANKER_PREFIX.rstrip(":"):
        raise InputError(
            expected=f"a cross-encoder as student for recipe {config.recipe}",
            got=f"{config.student}, a bi-encoder",
            consequence="it would be trained as a retriever, which the recipe is not about",
            remedy=f"name a cross-encoder, or {RERANKER_PREFIX}{config.student} for one with a new head",
        )


def _refuse_words_of_reranker(student: SentenceTransformer | CrossEncoder, name: str) -> None:
    if isinstance(student, CrossEncoder):
        raise InputError(
            expected="a bi-encoder as student for student_vocabulary='collection'",
            got=f"{name}, a cross-encoder",
            remedy="leave student_vocabulary out; its layers can be cut (student_layers)",
        )


def _prompts(arguments: MultiAssistantTrainingArguments) -> list[str]:
    """The prompts that the arguments give the student."""
    prompts = arguments.prompts or {}
    return [prompts] if isinstance(prompts, str) else [str(prompt) for prompt in prompts.values()]


def run_trainer(trainer: MultiAssistantTrainer, config: Any) -> Report:
    """Trains, resuming what the folder holds, and keeps the configuration beside the result."""
    folder = trainer.distillation.folder
    processes().on_leader(lambda: _clear(folder) if config.overwrite else None)
    trainer.distillation.recipe = getattr(config, "recipe", None)
    report = trainer.train(resume_from_checkpoint=folder.begun)
    processes().on_leader(lambda: _keep_options(folder, config))
    return report


def _clear(folder: RunFolder) -> None:
    if others := folder.clear():
        shown = ", ".join(str(path) for path in others[:3])
        logger.warning("Left in place, since the run did not write them: %d files (%s).", len(others), shown)


def _keep_options(folder: RunFolder, config: Any) -> None:
    options = {name: value for name, value in asdict(config).items() if name not in NOT_KEPT}
    with folder.manifest.recording("report"):
        atomic_write_text(folder.root / "config.yaml", yaml.safe_dump(without_secrets(options), sort_keys=False))


def training_arguments(config: Any) -> MultiAssistantTrainingArguments:
    """The options as arguments of the trainer."""
    chosen: dict[str, Any] = {one.name: getattr(config, one.name) for one in fields(MethodOptions)}
    try:
        chosen |= {"use_cpu": config.device == "cpu", **(config.training or {})}
        return MultiAssistantTrainingArguments(config.output_dir, **chosen)
    except InputError:
        raise
    except Exception as error:  # the host raises many kinds
        raise InputError(
            expected="a mapping of training arguments that the host or st_mta knows, with values it accepts",
            got=f"{type(error).__name__}: {error}",
            remedy="correct its name or value; MultiAssistantTrainingArguments lists them all",
        ) from error


def _weights(student: SentenceTransformer | CrossEncoder) -> int:
    return sum(weight.numel() for weight in student.parameters())
