"""Maps that change in training: from an easy target to a strong one, or to the one closest to the teacher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import TrainerCallback, TrainerState, TrainingArguments

from st_mta.distributions import masked_kl, masked_log_softmax
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.embedding.spaces import EmbeddingSpaces
from st_mta.losses.similarity import mean_over


class MoveTheMap(TrainerCallback):  # type: ignore[misc]
    """Moves a fixed map linearly over a training, from targets that are easy to learn to those that are worth most.

    Args:
        spaces: The map of the loss.
        start: (D, d) its matrix before the first step.
        end: (D, d) its matrix in the last.
    """

    def __init__(self, spaces: EmbeddingSpaces, start: Tensor, end: Tensor) -> None:
        self.spaces, self.start, self.end = spaces, start, end

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Sets the matrix of this step, from the step's number alone."""
        share = state.global_step / max(1, state.max_steps - 1)
        self.spaces.use(torch.lerp(self.start, self.end, min(1.0, share)))


class SelectedSpaces(EmbeddingSpaces):
    """Of several bi-encoders side by side, in each batch the one whose distributions are closest to the teacher's.

    MTA4DPR's selection of an assistant (Lu et al., EMNLP 2024), for embeddings: the mean over the batch's queries of
    KL(teacher || bi-encoder) over the candidates, ties to the first.

    Args:
        matrices: (K, D, d) for each bi-encoder the map from all D dimensions to the student's d.
        widths: K widths, in all D.
        temperatures: K temperatures of their cosines.
        teacher_temperature: Of the teacher's scores.

    Attributes:
        taken: (K,) batches in which each was selected.
    """

    def __init__(
        self,
        matrices: Tensor,
        widths: Sequence[int],
        temperatures: Sequence[float],
        teacher_temperature: float,
    ) -> None:
        super().__init__(matrices[0], matrices.shape[2])
        self.widths, self.temperatures, self.teacher_temperature = (
            list(widths),
            list(temperatures),
            teacher_temperature,
        )
        self.taken = [0] * len(matrices)
        self.matrices: Tensor
        self.register_buffer("matrices", matrices.clone(), persistent=False)

    @torch.no_grad()
    def choose(self, batch: ListwiseBatch) -> None:
        """Takes the map of the bi-encoder that is closest to the teacher on this batch."""
        place = int(self.distances(batch).argmin())
        self.taken[place] += 1
        self.matrix = self.matrices[place]

    @torch.no_grad()
    def distances(self, batch: ListwiseBatch) -> Tensor:
        """(K,) mean KL(teacher || bi-encoder) over the batch's queries, in nats."""
        assert batch.query_targets is not None and batch.document_targets is not None  # a label has both or none
        teacher = masked_log_softmax(batch.scores[:, 0] / self.teacher_temperature, batch.mask)
        found = []
        sides = [torch.split(side, self.widths, dim=1) for side in (batch.query_targets, batch.document_targets)]
        for queries, documents, temperature in zip(*sides, self.temperatures):
            cosines = F.normalize(queries, dim=-1) @ F.normalize(documents, dim=-1).mT
            student = masked_log_softmax(cosines.gather(1, batch.index) / temperature, batch.mask)
            found.append(mean_over(masked_kl(teacher, student, batch.mask), batch.counts))
        return torch.stack(found)
