"""Trans-Encoder's cycle: a bi-encoder and a cross-encoder of one base teach each other, without judgements."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from st_mta.atomic import atomic_write_text
from st_mta.collections import load_collection
from st_mta.collections.load import refuse_unknown
from st_mta.errors import InputError, loading
from st_mta.options import option
from st_mta.outputs import check_output_folder
from st_mta.processes import processes
from st_mta.ranges import count_from
from st_mta.recipes.distill import MACHINE, check_run_folder, run_trainer, training_arguments
from st_mta.recipes.options import DEVICES, INPUTS, SOURCES, STORE, STORES
from st_mta.report import Report
from st_mta.run.lock import one_at_a_time
from st_mta.run.prepared import prepared
from st_mta.scorers import load_any_student
from st_mta.scorers.load import STUDENT_REMEDY, model_path
from st_mta.scorers.reranking_student import RERANKER_PREFIX
from st_mta.scorers.saved_kind import saved_kind
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.options import FLOW, MethodOptions
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.types import Collection

CROSS_ENCODER, BI_ENCODER = "cross-encoder", "bi-encoder"
SUMMARY = "cycle.json"
BASE_EXPECTED = "a bi-encoder as base, or a bare encoder: a Hub id, a folder, or minilm"


@dataclass(kw_only=True)
class CycleConfig(MethodOptions):
    """Options of ``st-mta cycle``; those of the method are the same for all its trainings."""

    collection: str = option(group=INPUTS, help=f"What to learn on, without its training judgements: {SOURCES}.")
    base: str = option(
        group=INPUTS, help="The encoder that both begin with, a bi-encoder: a Hub id, a folder, or minilm."
    )
    output_dir: str = option(group=INPUTS, help="Folder for the runs: 1-cross-encoder, 1-bi-encoder, and so on.")
    assistants: list[str] = option(
        factory=list, group=INPUTS, basic=True, help="Scorers that bring candidates and teach beside the labels."
    )
    cycles: int = option(
        3, within=count_from(1), group=FLOW, basic=True, help="Times that each of the two is trained, from the base."
    )
    num_iterations: int = option(
        1, within=count_from(1), group=FLOW, basic=True, help="Iterations of mine, score, train in each training."
    )
    device: str | None = option(None, within=DEVICES, group=MACHINE, help="cpu, or whatever the machine offers.")
    store: str | None = option(None, within=STORES, group=MACHINE, help=STORE)
    overwrite: bool = option(
        False, group=INPUTS, basic=True, help="Delete the runs in the output folder, each when it is its turn."
    )
    training: dict[str, Any] | None = option(
        None,
        group=MACHINE,
        section=MultiAssistantTrainingArguments,
        help="Any other training argument of the host, as JSON, or as a section of the YAML file.",
    )


class Half(NamedTuple):
    """One training of a cycle.

    Attributes:
        folder: Of its run.
        student: What it trains, as users name it.
        teacher: Who labels for it.
    """

    folder: str
    student: str
    teacher: str


@one_at_a_time
def cycle(config: CycleConfig) -> Report:
    """Trains a cross-encoder on a bi-encoder's scores and a bi-encoder on the cross-encoder's, several times.

    Trans-Encoder (Liu et al., ICLR 2022, https://arxiv.org/abs/2109.13059): the labels are the models' own, and each
    training begins with the base again. Deviations: both learn listwise distributions over mined candidates, instead
    of scores of given pairs by cross entropy and squared error; there is no mutual form with two bases. Where the
    collection has judged development queries, they choose among a training's iterations, and nothing else.

    Every training is a run of its own, resumed as any other; their results stand side by side in ``cycle.json``.

    Args:
        config: The options.

    Returns:
        The report of the last bi-encoder.

    Raises:
        InputError: As for [`st_mta.recipes.distill.distill`].
    """
    root = check_output_folder(config.output_dir)
    prepared(lambda: _refuse_other_bases(config.base))
    refuse_unknown([config.collection])
    collection = without_judgements(load_collection(config.collection))
    halves = list(halves_of(config))
    reports = [_train(replace(config, output_dir=str(root / half.folder)), half, collection) for half in halves]
    processes().on_leader(lambda: _summarise(root, halves, reports))
    return reports[-1]


def _refuse_other_bases(base: str) -> None:
    """Raises ``InputError`` for what is no encoder that can begin as either of the two, from its configuration."""
    with loading(BASE_EXPECTED, base, STUDENT_REMEDY):
        kind = saved_kind(model_path(base))
    if kind is None:
        raise InputError(
            expected=BASE_EXPECTED, got=f"{base!r}, in which there is no configuration of one", remedy=STUDENT_REMEDY
        )
    if kind not in (BI_ENCODER, "backbone"):
        raise InputError(
            expected=BASE_EXPECTED,
            got=f"{base}, saved as a {kind}",
            remedy="name the encoder that it was made of; the cycle makes the cross-encoder itself",
        )


def halves_of(config: CycleConfig) -> Iterator[Half]:
    """The trainings in their order; the student of each is the teacher of the next."""
    teacher = config.base
    for number in range(1, config.cycles + 1):
        for kind, student in ((CROSS_ENCODER, RERANKER_PREFIX + config.base), (BI_ENCODER, config.base)):
            half = Half(f"{number}-{kind}", student, teacher)
            yield half
            teacher = str(Path(config.output_dir) / half.folder / "student")


def last_folder(config: CycleConfig) -> str:
    """Of the run whose student is delivered."""
    return str(Path(config.output_dir) / f"{config.cycles}-{BI_ENCODER}")


def without_judgements(collection: Collection) -> Collection:
    """The collection whose training queries are not judged; development and test queries stay as they are."""
    train = collection.queries_of("train")
    if not len(train):
        return collection
    qrels = {split: judged for split, judged in collection.qrels.items() if split != "train"}
    note = f"The judgements of its {len(train)} training queries are not used."
    unlabelled = np.concatenate([train, collection.unlabelled])
    return replace(collection, qrels=qrels, unlabelled=unlabelled, notes=(*collection.notes, note))


def _train(config: CycleConfig, half: Half, collection: Collection) -> Report:
    inputs = [config.collection, config.base, *config.assistants, *([config.store] if config.store else [])]
    processes().on_leader(lambda: check_run_folder(config, inputs))
    return run_trainer(prepared(lambda: _trainer(config, half, collection)), config)


def _trainer(config: CycleConfig, half: Half, collection: Collection) -> MultiAssistantTrainer:
    arguments = training_arguments(config)
    return MultiAssistantTrainer(
        load_any_student(half.student, device=str(arguments.device)),
        arguments,
        teacher=half.teacher,
        assistants=config.assistants,
        collection=collection,
        store=config.store,
    )


def _summarise(root: Path, halves: list[Half], reports: list[Report]) -> None:
    rows = [
        {"folder": half.folder, "split": report["split"], "ndcg@10": report["student"]["ndcg@10"]}
        for half, report in zip(halves, reports)
    ]
    atomic_write_text(root / SUMMARY, json.dumps(rows, indent=2) + "\n")
