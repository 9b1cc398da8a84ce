"""Maps that change in training: from an easy target to a strong one, or to the one closest to the teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback, TrainerState, TrainingArguments

from st_mta.distributions import masked_kl, masked_log_softmax
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.embedding.spaces import EmbeddingSpaces
from st_mta.over_processes import summed


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
    KL(teacher || bi-encoder) over the candidates, ties to the first. Distributions are those of the scores in the
    label, calibrated as they are for the lists.

    Args:
        matrices: (K, D, d) for each bi-encoder the map from all D dimensions to the student's d.
        places: K places of the bi-encoders among the scorers of the label; None for one that is not there any more,
            which is not selected.
        calibrated: ``(scores (B, S, N), mask (B, N)) -> (B, S, N)`` logits.
    """

    def __init__(
        self,
        matrices: Tensor,
        places: Sequence[int | None],
        calibrated: Callable[[Tensor, Tensor], Tensor],
    ) -> None:
        super().__init__(matrices[0], matrices.shape[2])
        self.places, self.calibrated = list(places), calibrated
        self.matrices: Tensor
        self.register_buffer("matrices", matrices.clone(), persistent=False)

    @torch.no_grad()
    def choose(self, batch: ListwiseBatch) -> None:
        """Takes the map of the bi-encoder that is closest to the teacher on this batch."""
        self.matrix = self.matrices[int(self.distances(batch).argmin())]

    @torch.no_grad()
    def distances(self, batch: ListwiseBatch) -> Tensor:
        """(K,) mean KL(teacher || bi-encoder) over the batch's queries, in nats; infinite for one that has left.

        The batch is that of all processes, which have to ask together.
        """
        log_probs = masked_log_softmax(self.calibrated(batch.scores, batch.mask), batch.mask[:, None])
        mask = batch.mask[:, None].expand_as(log_probs)
        divergences = masked_kl(log_probs[:, :1].expand_as(log_probs), log_probs, mask)
        weight = batch.counts.to(divergences.dtype)[:, None]
        totals = summed(torch.cat([(divergences * weight).sum(dim=0), weight.sum(dim=0)]))
        divergences = totals[:-1] / totals[-1].clamp(min=1)
        found = torch.full((len(self.places),), torch.inf, dtype=divergences.dtype, device=divergences.device)
        for number, place in enumerate(self.places):
            if place is not None:
                found[number] = divergences[place]
        return found
