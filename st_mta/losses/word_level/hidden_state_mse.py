"""Word-level distillation of token states, from a cross-encoder or from a bi-encoder."""

from __future__ import annotations

import logging
import math
import os
from typing import Any, Literal, get_args

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.util import cos_sim
from torch import Tensor, nn
from torch.nn import functional as F

from st_mta.citations import MD2PR, TED
from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.losses.batch import Labels
from st_mta.losses.projection import Projection, make_projection, share_gradients, share_weights
from st_mta.losses.shares import copies_of_rows, mean_counts
from st_mta.losses.similarity import check_range, mean_over
from st_mta.losses.word_level.loss import Reading, WordLevelLoss
from st_mta.losses.word_level.student_pass import StudentPass
from st_mta.losses.word_level.task_filters import make_filter, pooled_states, task_loss

logger = logging.getLogger(__name__)

FILTERS = "filters"
FILTER_SCALE = 20.0
"""Of the cosines by which filters tell passages apart, as of a student that is compared by them."""


def state_distance(student: Tensor, teacher: Tensor, compared: Tensor, *, normalize: bool) -> Tensor:
    """Mean over compared tokens and dimensions of (h_student - h_teacher)^2.

    Args:
        student: (P, I, D) projected token states.
        teacher: (P, I, D) the teacher's states of the same tokens.
        compared: (P, I) bool.
        normalize: Whether each state first gets mean 0 and variance 1 over its dimensions, so that the distance is
            2 - 2 * correlation whatever the scale of either model.

    Returns:
        (P,), 0 where no token is compared.

    Example:
        >>> student, teacher = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[1.0, 4.0]]])
        >>> state_distance(student, teacher, torch.tensor([[True]]), normalize=False)
        tensor([2.])
    """
    width = student.shape[-1]
    if normalize:
        student, teacher = F.layer_norm(student, (width,)), F.layer_norm(teacher, (width,))
    squares = torch.where(compared[..., None], (student - teacher) ** 2, 0.0).sum(dim=(1, 2))
    return squares / (width * compared.sum(dim=-1).clamp(min=1))


class HiddenStateMSELoss(WordLevelLoss):
    """Makes the student's token states those of a teacher.

    Implements the word level of MD2PR (https://arxiv.org/abs/2312.16821) over hidden states. A cross-encoder reads
    each query with its candidates; a bi-encoder, such as an assistant, reads every text by itself. Where tokenizers
    differ, a student's token follows the mean of the teacher's tokens that cover its text. Deviations: a projection
    where widths differ; states normalised by default; the mean over the tokens of a text, then over texts, layers and
    pairs.

    Args:
        model: The student.
        teacher: A CrossEncoder or SentenceTransformer, read without gradient on every batch; frozen, and no submodule
            of the loss. It reads texts without prompts.
        projection: "learned" or "orthogonal", one per pair of layers and kept on the loss, where the trainer's
            optimizer finds it; "none"; "auto" for "learned" where widths differ and "none" otherwise; or "filters",
            the task-aware filters of TED (https://arxiv.org/abs/2210.01351), one per layer of each model. In the first
            ``filter_steps`` steps they learn, by states that are held, to tell each query's positives from its other
            candidates; from then on filtered states are compared, the teacher's by its filter as it is then.
            Deviations from TED: a filter's head is the cosine of states averaged over the tokens that both models
            have, and nothing else is trained by this loss meanwhile; both stages are parts of one training.
        normalize: Whether states are compared by their correlation instead of raw.
        filter_steps: Batches in which filters are fitted; a training (in a run every iteration is one) has to be
            longer for the student to learn from this loss. A checkpoint holds how many there were, see
            ``KeepLossWeights``, which also warns of a training that was too short.
        options: ``layers``, ``num_candidates``, ``min_coverage`` and ``store``, as for ``WordLevelLoss``, which also
            states the attributes and inputs.

    Raises:
        InputError: If an argument is unknown, widths differ without a projection, tokens do not align, or filters are
            asked for from a cross-encoder, whose states are of pairs, or without labels.
    """

    filter_steps = steps = 0

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        teacher: CrossEncoder | SentenceTransformer,
        projection: Projection | Literal["filters"] = "auto",
        normalize: bool = True,
        filter_steps: int = 100,
        **options: Any,
    ) -> None:
        super().__init__(model, teacher=teacher, **options)
        width, teacher_width = (each.transformers_model.config.hidden_size for each in (model, teacher))
        _check_projection(projection, width, teacher_width, teacher)
        check_range("filter_steps", filter_steps, 1 <= filter_steps < math.inf, "at least 1")
        self.projection, self.normalize = projection, normalize
        if projection == FILTERS:
            self.filter_steps = filter_steps
        kind: Projection = "learned" if projection == "filters" else projection
        self.projections = nn.ModuleList(make_projection(kind, width, teacher_width) for _ in self.layers)
        self.filters = nn.ModuleList(
            make_filter(teacher_width) if projection == FILTERS else nn.Identity() for _ in self.layers
        )
        share_gradients(self.projections)
        share_gradients(self.filters)
        self._shared = False
        self.states_of_student, self.states_of_teacher = (frozenset(side) for side in zip(*self.layers))

    def _compare(self, student: StudentPass, labels: Labels | None) -> Tensor:
        if not self._shared:
            self._shared = True
            share_weights(self.projections)
            share_weights(self.filters)
        if isinstance(self.teacher, CrossEncoder):
            return self._distance(self.read_pairs(student, labels))
        queries, documents = (self.read_texts(student, side) for side in (student.queries, student.documents))
        if self._fits_filters():
            return self._task([queries, documents], labels)
        return torch.stack([self._distance(queries), self._distance(documents, _shared_documents(labels))]).mean()

    def _fits_filters(self) -> bool:
        """Whether this step is one of those that fit filters; counts it."""
        if self.projection != FILTERS:
            return False
        fits = self.steps < self.filter_steps
        self.steps += torch.is_grad_enabled()
        return fits

    def warn_of_filters_alone(self) -> None:
        """Says so at the end of a training in which this loss has fitted filters and the student learned nothing."""
        if 0 < self.steps <= self.filter_steps:
            logger.warning(
                "Filters were fitted in all %d batches of this training, and the student has learned nothing from "
                "their states: the first %d batches are for filters. Train longer, or set filter_steps to a fraction "
                "of the batches, such as %d.",
                self.steps,
                self.filter_steps,
                max(self.steps // 4, 1),
            )

    def _task(self, readings: list[Reading], labels: Labels | None) -> Tensor:
        """Mean over layers of how far the filters of both models are from knowing the positives."""
        losses = []
        for (of_student, of_teacher), mine, theirs in zip(self.layers, self.projections, self.filters):
            with torch.autocast(self.coverage.device.type, enabled=False):
                sides = [(each, each.alignments[0], each.sides[0].recorded) for each in readings]
                student = [mine(pooled_states(widen(own.hidden_states[of_student]), a)) for _, a, own in sides]
                teacher = [
                    theirs(pooled_states(a.average(widen(each.recorded.hidden_states[of_teacher])), a))
                    for each, a, _ in sides
                ]
            losses += [task_loss(pooled, labels, cos_sim, FILTER_SCALE) for pooled in (student, teacher)]
        return torch.stack(losses).mean()

    def _distance(self, reading: Reading, shared: Tensor | None = None) -> Tensor:
        """Mean over layers, texts of a row, and rows; those that several processes have weigh less."""
        distances = []
        for (of_student, of_teacher), projection, filtered in zip(self.layers, self.projections, self.filters):
            theirs = widen(reading.recorded.hidden_states[of_teacher])
            for side, rows, alignment in zip(reading.sides, reading.rows, reading.alignments):
                with torch.autocast(theirs.device.type, enabled=False):
                    projected = projection(widen(side.recorded.hidden_states[of_student]))[rows]
                    with torch.no_grad():
                        states = filtered(alignment.average(theirs))
                distances.append(state_distance(projected, states, alignment.compared, normalize=self.normalize))
        compared = torch.stack([alignment.compared.any(dim=-1) for alignment in reading.alignments]).all(dim=0)
        rows = compared if shared is None else compared / shared
        return mean_over(torch.stack(distances).mean(dim=0), rows, mean_counts(rows)[0])

    def save_projection(self, path: str | os.PathLike[str]) -> None:
        """Writes the projections' weights; the host's checkpoints hold the student alone."""
        torch.save(self.projections.state_dict(), path)

    def load_projection(self, path: str | os.PathLike[str]) -> None:
        """Reads what ``save_projection`` wrote, before training resumes."""
        self.projections.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def get_extra_state(self) -> dict[str, Any]:
        """How many steps there were, where filters are fitted in the first of them (see ``KeepLossWeights``)."""
        return {"steps": self.steps} if self.projection == FILTERS else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores it from a checkpoint."""
        self.steps = state.get("steps", 0)

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        steps = {"filter_steps": self.filter_steps} if self.projection == FILTERS else {}
        own = {"projection": self.projection, "normalize": self.normalize}
        return {**super().get_config_dict(), **own, **steps}

    @property
    def citation(self) -> str:  # type: ignore[override]
        """BibTeX of the papers."""
        return MD2PR + (TED if self.projection == FILTERS else "")


def _shared_documents(labels: Labels | None) -> Tensor | None:
    """(U,) how many processes have each document; None where nothing says so."""
    ids = labels.get("document_ids") if isinstance(labels, dict) else None
    copies = None if ids is None else copies_of_rows(0, ids)
    return None if copies is None else copies.times


def _check_projection(projection: str, width: int, teacher_width: int, teacher: Any) -> None:
    kinds = (*get_args(Projection), FILTERS)
    if projection == FILTERS and isinstance(teacher, CrossEncoder):
        raise InputError(
            expected="a SentenceTransformer as teacher of filters",
            got="a CrossEncoder",
            consequence="its states are of a query with a passage, and there would be no query's state to compare",
            remedy="name a bi-encoder (in a run an assistant, by the option 'reader'), or another projection",
        )
    if projection not in kinds or (projection == "none" and width != teacher_width):
        raise InputError(
            expected=f"projection to be one of {', '.join(kinds)}, and not 'none' where widths differ",
            got=f"{projection!r} for {width} dimensions of the student and {teacher_width} of the teacher",
            remedy="use projection='auto'",
        )
