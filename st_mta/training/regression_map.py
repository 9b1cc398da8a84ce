"""The map in a loss between the student and what it is regressed to, and the loss of the warm-up that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from transformers import TrainerCallback

from st_mta.assistants.calibration import calibrate
from st_mta.losses.embedding import EmbeddingDistillationLoss, EmbeddingSpaces, read_map
from st_mta.losses.embedding.map_files import FILE
from st_mta.losses.embedding.moving import MoveTheMap, SelectedSpaces
from st_mta.losses.embedding.spaces import TRAINED
from st_mta.run.results import RegressionTarget, Scored
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.joined import JoinedScorer
from st_mta.training.regression_target import EACH, MATRIX, START, load_matrices
from st_mta.training.regression_weights import SCHEDULED, SELECTED, mapped_before
from st_mta.training.run_state import REGRESSION_TARGET, RunState
from st_mta.types import FloatArray


def map_of_lists(run: RunState, student: Path, fitted: Scored) -> EmbeddingSpaces | None:
    """The map of an iteration's loss; None where targets are given in the student's space.

    Args:
        run: With a regression target.
        student: Folder of the student; a trained map lies beside it.
        fitted: Temperatures of the pool.
    """
    if (trained := begun_map(run, student)) is not None:
        return trained
    found = _found(run)
    if mapped_before(run.arguments.regression_to, run.arguments.regression_terms) or not found.map_file:
        return None
    matrices = load_matrices(found, run.folder.root)
    if run.arguments.regression_to != SELECTED:
        return _fixed(run, matrices[MATRIX])
    places = {name: place for place, name in enumerate(fitted.scorers)}
    spaces = SelectedSpaces(
        torch.from_numpy(matrices[EACH]),
        [places.get(name) for name in found.bi_encoders],
        partial(calibrate, temperatures=fitted.temperatures, calibration=run.arguments.calibration),
    )
    return spaces.to(run.students.original.device)


def begun_map(run: RunState, student: Path) -> EmbeddingSpaces | None:
    """The map as it was trained with this student, or as it was fitted; None where none is trained."""
    if run.arguments.regression_map not in TRAINED or not (found := _found(run)).bi_encoders:
        return None
    beside = student.parent
    fitted = torch.from_numpy(load_matrices(found, run.folder.root)[MATRIX])
    matrix = read_map(beside) if (beside / FILE).exists() else fitted
    spaces = EmbeddingSpaces(run.arguments.regression_map, matrix.shape[1])  # type: ignore[arg-type]
    spaces.use(matrix)
    return spaces.to(run.students.original.device)


@dataclass(frozen=True)
class WarmUpLoss:
    """How the warm-up differs from the cosine distance to targets in the student's space.

    Attributes:
        loss: None where it does not.
        mapped: Whether targets are given in the student's space.
        callbacks: Of the training.
    """

    loss: EmbeddingDistillationLoss | None = None
    mapped: bool = True
    callbacks: Sequence[TrainerCallback] = ()


def warm_up_loss(run: RunState, student: SentenceTransformer) -> WarmUpLoss:
    """The loss of the warm-up, with the map that is trained along, moves, or leads to what terms are compared with."""
    found, terms = _found(run), run.arguments.regression_terms
    if (spaces := begun_map(run, run.folder.student_before)) is not None:
        return WarmUpLoss(_with_map(student, terms, spaces), mapped=False)
    scheduled = run.arguments.regression_to == SCHEDULED
    if terms is None and not scheduled:
        return WarmUpLoss()
    if not found.map_file:
        return WarmUpLoss(EmbeddingDistillationLoss(student, terms=terms, map="none"))
    matrices = load_matrices(found, run.folder.root)
    spaces = _fixed(run, matrices[START if scheduled else MATRIX])
    moving = [MoveTheMap(spaces, *(torch.from_numpy(matrices[name]) for name in (START, MATRIX)))] if scheduled else []
    return WarmUpLoss(_with_map(student, terms, spaces), False, moving)


def _fixed(run: RunState, matrix: FloatArray) -> EmbeddingSpaces:
    return EmbeddingSpaces(matrix, matrix.shape[1]).to(run.students.original.device)


def _with_map(
    student: SentenceTransformer, terms: Mapping[str, float] | None, spaces: EmbeddingSpaces
) -> EmbeddingDistillationLoss:
    loss = EmbeddingDistillationLoss(student, terms=terms, map="none")
    loss.map = spaces
    return loss


def in_the_targets_space(run: RunState, student: EmbeddingScorer, folder: Path) -> EmbeddingScorer:
    """The student whose queries search the index of what it was regressed to; itself where no map is trained."""
    spaces = begun_map(run, folder)
    if spaces is None:
        return student
    matrix = spaces.as_matrix().T.contiguous().cpu().numpy()
    return JoinedScorer([student], None, matrix, student.name)


def _found(run: RunState) -> RegressionTarget:
    return run.journal.result(REGRESSION_TARGET, RegressionTarget)
