"""The space of a student's embeddings and that of its teacher's: how one is brought to the other."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Literal, NoReturn, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.embedding.map_files import read_map, write_map
from st_mta.losses.projection import make_projection, share_gradients, share_weights
from st_mta.procrustes import Moments, share_explained
from st_mta.types import FloatArray

logger = logging.getLogger(__name__)

Map = Literal["procrustes", "learned", "orthogonal", "none"]
MAPS: tuple[str, ...] = get_args(Map)
"""Every map by the word users write."""
PROCRUSTES, TRAINED = "procrustes", ("learned", "orthogonal")


class EmbeddingSpaces(nn.Module):
    """A map between a student's d dimensions and its teacher's D, fixed on the targets' side or trained on its own.

    Args:
        kind: "procrustes" (targets times a matrix fitted before training), "learned" or "orthogonal" (a linear layer
            after the student, trained along), "none", or the matrix itself (D, d), which is not trained.
        width: d.
        teacher_dim: D, where a trained map is to be made before anything is fitted.

    Attributes:
        matrix: (D, d) what was fitted, or None; it is saved with the loss.
        projection: The trained layer, or None.
    """

    matrix: Tensor | None

    def __init__(self, kind: Map | FloatArray | Tensor, width: int, teacher_dim: int | None = None) -> None:
        super().__init__()
        given = None if isinstance(kind, str) else torch.as_tensor(kind, dtype=torch.float32)
        self.kind, self.width = kind if isinstance(kind, str) else "procrustes", width
        check_choice("map", self.kind, get_args(Map))
        self.register_buffer("matrix", None)
        self.projection: nn.Linear | None = None
        self._shared = False
        if given is not None:
            self.use(given)
        elif teacher_dim is not None and self.kind in TRAINED:
            self._project(teacher_dim)

    @property
    def ready(self) -> bool:
        """Whether no map has to be fitted any more."""
        return self.kind == "none" or self.matrix is not None

    @property
    def device(self) -> torch.device:
        """Where the map lies."""
        tensors = [*self.parameters(), *self.buffers()]
        return tensors[0].device if tensors else torch.get_default_device()

    def fit(self, moments: Moments) -> float:
        """Fits the map, or what a trained one begins with; returns the share of the teacher's squared length it keeps.

        Raises:
            InputError: If there is nothing to fit from, or a map has been made for another width.
        """
        matrix = moments.procrustes()
        self.use(torch.from_numpy(matrix))
        share = share_explained(moments, matrix)
        logger.info(f"The map {matrix.shape} fitted on {moments.count} texts keeps {share:.1%} of the squared length.")
        return share

    @torch.no_grad()
    def use(self, matrix: Tensor) -> None:
        """Takes this matrix (D, d), with which a trained map begins.

        Raises:
            InputError: If it does not end in the student's width.
        """
        if matrix.ndim != 2 or matrix.shape[1] != self.width:
            raise InputError(
                expected=f"a map (D, {self.width}), from the teacher's D dimensions to the student's {self.width}",
                got=f"shape {tuple(matrix.shape)}",
                remedy="fit it for this student, as st_mta.procrustes.fit_procrustes(teacher's, student's) does",
            )
        if self.kind in TRAINED:
            self._project(len(matrix))
            self._begin_with(matrix)
        self.matrix = matrix.to(self.device, torch.float32, copy=True)

    def align(self, student: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Student (n, k) and targets (n, D) in one space; k < d is a cut of the student to its leading dimensions.

        A fixed map leads targets to the student's dimensions, cut as the student is, and gives them back the length
        they had, which a map to fewer dimensions shortens. A trained map leads the student to the teacher's
        dimensions, with zeros for those cut off.

        Raises:
            InputError: If widths differ and no map was made for them.
        """
        self._share()
        student, targets = widen(student), widen(targets.detach())
        with torch.autocast(student.device.type, enabled=False):
            if self.kind in TRAINED:
                return self._projected(student, targets.shape[1]), targets
            if self.kind == "none" or self.matrix is None:
                return student, self._unmapped(student, targets)
            self._check_width(targets.shape[1])
            mapped = targets @ self.matrix.to(targets)[:, : student.shape[1]]
            length = targets.norm(dim=-1, keepdim=True)
            return student, F.normalize(mapped, dim=-1) * length

    @torch.no_grad()
    def to_teacher(self, student: Tensor) -> Tensor:
        """(n, d) -> (n, D): the student's embeddings in the teacher's space."""
        student = widen(student)
        if self.kind in TRAINED:
            return self._projected(student, None)
        return student if self.matrix is None else student @ self.matrix.to(student).mT

    def as_matrix(self) -> Tensor:
        """(D, d) the map as it is now: a student's embeddings times its transpose lie in the teacher's space.

        Raises:
            InputError: If there is none.
        """
        found = self.matrix if self.projection is None else self.projection.weight
        if found is None:
            raise InputError(
                expected="a map between student and teacher",
                got=f"none (map={self.kind!r})",
                remedy="train or fit one first; with map='none' both share one space and need none",
            )
        return found.detach()

    def save(self, folder: Path | str) -> None:
        """Writes the map into a folder; see ``read_map``."""
        write_map(folder, self.as_matrix(), self.kind)

    def load(self, folder: Path | str) -> None:
        """Takes the map that ``save`` wrote."""
        self.use(read_map(folder))

    def _project(self, teacher_dim: int) -> None:
        if self.projection is None:
            layer = make_projection(self.kind, self.width, teacher_dim).to(self.device)  # type: ignore[arg-type]
            share_gradients(layer)
            self.projection = cast(nn.Linear, layer)
        elif len(self.projection.weight) != teacher_dim:
            self._refuse(teacher_dim, f"a layer for {len(self.projection.weight)}")

    def _begin_with(self, matrix: Tensor) -> None:
        """Makes the trained layer that matrix; an orthogonal one takes it through its parametrisation."""
        layer = cast(nn.Linear, self.projection)
        matrix = matrix.to(layer.weight)
        if self.kind == "orthogonal":
            layer.weight = matrix
        else:
            layer.weight.copy_(matrix)

    def _projected(self, student: Tensor, teacher_dim: int | None) -> Tensor:
        if self.projection is None:
            self._refuse(teacher_dim, "none")
        if teacher_dim not in (None, len(self.projection.weight)):
            self._refuse(teacher_dim, f"one to {len(self.projection.weight)}")
        projected: Tensor = self.projection(F.pad(student, (0, self.width - student.shape[1])))
        return projected

    def _unmapped(self, student: Tensor, targets: Tensor) -> Tensor:
        """Targets of the student's own width, cut as it is."""
        if targets.shape[1] not in (self.width, student.shape[1]):
            self._refuse(targets.shape[1], "none" if self.kind == "none" else "none fitted")
        return targets[:, : student.shape[1]]

    def _check_width(self, teacher_dim: int) -> None:
        if self.matrix is not None and teacher_dim != len(self.matrix):
            self._refuse(teacher_dim, f"one from {len(self.matrix)}")

    def _refuse(self, teacher_dim: int | None, got: str) -> NoReturn:
        wide = "" if teacher_dim is None else f" {teacher_dim}"
        raise InputError(
            expected=f"a map between the teacher's{wide} dimensions and the student's {self.width}",
            got=got,
            remedy="before training write `loss.fit(texts, embeddings)`, with some thousand texts and the teacher's "
            f"embeddings of them, or make the loss with `map='learned', teacher_dim={wide.strip() or '...'}`",
        )

    def _share(self) -> None:
        if not self._shared:
            self._shared = True
            share_weights(self)

    def _load_from_state_dict(self, state: dict[str, Any], prefix: str, *more: Any) -> None:
        # A resumed run need not have fitted anything: the checkpoint knows the map.
        if (stored := state.get(f"{prefix}matrix")) is not None:
            self.use(stored)
        super()._load_from_state_dict(state, prefix, *more)
