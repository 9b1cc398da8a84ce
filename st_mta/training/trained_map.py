"""The map between the student and what it is regressed to, where it is trained: it goes with the student."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.numpy import load_file
from sentence_transformers import SentenceTransformer
from torch import nn

from st_mta.losses.embedding import EmbeddingDistillationLoss, EmbeddingSpaces, read_map
from st_mta.losses.embedding.map_files import FILE
from st_mta.losses.embedding.spaces import TRAINED
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.joined import JoinedScorer
from st_mta.training.run_state import RunState


def begun_map(run: RunState, student: Path) -> EmbeddingSpaces | None:
    """The map as it was trained with this student, or as it was fitted; None where none is trained.

    Args:
        run: With a regression target.
        student: Folder of the student; its map lies beside it.
    """
    if run.arguments.regression_map not in TRAINED or run.regression_target() is None:
        return None
    beside = student.parent
    matrix = read_map(beside) if (beside / FILE).exists() else _fitted(run)
    spaces = EmbeddingSpaces(run.arguments.regression_map, matrix.shape[1])  # type: ignore[arg-type]
    spaces.use(matrix)
    return spaces.to(run.students.original.device)


def warm_up_loss(run: RunState, student: SentenceTransformer) -> nn.Module | None:
    """The loss of the warm-up where it is another than the cosine distance to targets in the student's space."""
    spaces, terms = begun_map(run, run.folder.student_before), run.arguments.regression_terms
    if spaces is None and terms is None:
        return None
    loss = EmbeddingDistillationLoss(student, terms=terms, map="none")
    if spaces is not None:
        loss.map = spaces
    return loss


def in_the_targets_space(run: RunState, student: EmbeddingScorer, folder: Path) -> EmbeddingScorer:
    """The student whose queries search the index of what it was regressed to; itself where no map is trained."""
    spaces = begun_map(run, folder)
    if spaces is None:
        return student
    matrix = spaces.as_matrix().T.contiguous().cpu().numpy()
    return JoinedScorer([student], None, matrix, student.name)


def _fitted(run: RunState) -> torch.Tensor:
    return torch.from_numpy(load_file(run.folder.regression_map)["matrix"])
