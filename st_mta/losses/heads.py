"""Heads that follow one scorer each over a shared student, and are one linear layer together."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense
from torch import Tensor, nn

from st_mta.citations import CERBERUS
from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.objectives.divergences import listwise_kl
from st_mta.losses.projection import share_gradients_of
from st_mta.losses.shares import shares_of
from st_mta.losses.similarity import check_range, mean_over, student_logits


class HeadsLoss(ListLoss):
    """Gives a student a linear head for its teacher and for each assistant, each to follow that scorer alone.

    Implements the student of CERBERUS (https://arxiv.org/abs/2201.05767), whose heads share a body and answer together
    by their mean, for embeddings. With K scorers, D dimensions and head k the matrix W_k = I + O_k - mean of all O
    (D, D), which begins as the identity:

        merged_weight * loss + heads_weight * mean over k of KL(p_k || softmax(scale * sim(W_k q, W_k d)))

    where p_k is the distribution of scorer k over a query's candidates, and ``loss`` that of the student's embeddings.
    The mean of the heads is the identity at every moment, so the student *is* the average of its heads: there is
    nothing to merge, and what is saved needs no further module. ``concatenated`` is the other way to merge them.
    Deviations: a head is a matrix over the pooled text, not a layer of the transformer; the loss of the merged student
    stands beside the heads', which are alone with ``merged_weight=0``.

    Args:
        model: The student.
        num_heads: K, the number of scorers in the label, the teacher's first.
        loss: Of the merged student, a listwise loss around the same one, whose similarity and scale the heads have
            too. Default: ``ListwiseKLLoss(model)``.
        targets: ``(scores (B, S, N) raw, mask (B, N)) -> log-probabilities (B, S, N)`` of every scorer. Default: each
            one's softmax at ``teacher_temperature``.
        teacher_temperature: Divides every scorer's raw scores; unused with ``targets``.
        heads_weight: Weight of the heads.
        merged_weight: Weight of the loss; 0 leaves it out.
        return_components: Whether ``forward`` returns a dictionary of the terms, already weighted, for the trainer to
            log: those of the loss, and "heads". Default: as the loss does.

    Inputs:
        As for ``ListwiseKLLoss``, with K scorers.

    Raises:
        InputError: If the label has another number of scorers, the loss is around another model, or an argument is out
            of range.

    Example:
        ::

            loss = HeadsLoss(model, num_heads=3)  # the teacher's and those of two assistants
            trainer = SentenceTransformerTrainer(..., loss=loss, callbacks=[KeepLossWeights(loss)])
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        num_heads: int,
        loss: ListwiseKLLoss | None = None,
        targets: Callable[[Tensor, Tensor], Tensor] | None = None,
        teacher_temperature: float = 1.0,
        heads_weight: float = 1.0,
        merged_weight: float = 1.0,
        return_components: bool | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.loss = ListwiseKLLoss(model, teacher_temperature=teacher_temperature) if loss is None else loss
        self.heads_weight, self.merged_weight = heads_weight, merged_weight
        self.teacher_temperature = teacher_temperature
        self.return_components = self.loss.return_components if return_components is None else return_components
        check_range("num_heads", num_heads, num_heads >= 1, "at least 1")
        check_range("teacher_temperature", teacher_temperature, 0 < teacher_temperature < math.inf, "positive")
        check_range("heads_weight", heads_weight, 0 < heads_weight < math.inf, "positive")
        check_range("merged_weight", merged_weight, 0 <= merged_weight < math.inf, "at least 0")
        if self.loss.model is not model:
            raise InputError(
                expected="a listwise loss around the same student",
                got="one around another model",
                remedy="make both with the same model",
            )
        host: Any = model
        width = int(host.get_embedding_dimension())
        self.offsets = nn.Parameter(torch.zeros(num_heads, width, width, device=str(model.device)))
        share_gradients_of([self.offsets])
        # Past nn.Module's registration, as in the loss.
        object.__setattr__(self, "targets", targets)

    targets: Callable[[Tensor, Tensor], Tensor] | None

    @property
    def alpha(self) -> float:
        """Weight of the teacher in the loss, where a schedule of it finds it."""
        return self.loss.alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.loss.alpha = alpha

    def heads(self, width: int | None = None) -> Tensor:
        """(K, D, D) the matrices W_k, whose mean is the identity; of the leading dimensions where a width is given."""
        offsets = self.offsets[:, :width, :width]
        eye = torch.eye(offsets.shape[-1], device=offsets.device, dtype=offsets.dtype)
        return eye + offsets - offsets.mean(dim=0)

    def _components(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        batch = self._read(embeddings, labels)
        terms = {}
        if self.merged_weight:
            own = self.loss._components(embeddings, labels)
            terms = {name: self.merged_weight * term for name, term in own.items()}
        terms["heads"] = self.heads_weight * self._follow(batch).mean()
        return terms

    def _follow(self, batch: ListwiseBatch) -> Tensor:
        """(K,) mean divergence of every head from its scorer."""
        targets = self._target_log_probs(batch)
        heads = self.heads(batch.queries.shape[1]).to(batch.queries.dtype)
        with torch.autocast(batch.queries.device.type, enabled=False):
            logits = [
                student_logits(
                    batch.queries @ head.T, batch.documents @ head.T, self.loss.similarity_fct, self.loss.scale
                )
                for head in heads
            ]
        student = torch.stack([each.gather(1, batch.index) for each in logits], dim=1)  # (B, K, N)
        mask = batch.mask[:, None].expand_as(student)
        return mean_over(listwise_kl(student, targets, mask), batch.counts, shares_of(batch).lists)

    @torch.no_grad()
    def _target_log_probs(self, batch: ListwiseBatch) -> Tensor:
        if batch.scores.shape[1] != len(self.offsets):
            raise InputError(
                expected=f"a label with the scores of {len(self.offsets)} scorers, one for each head",
                got=f"{batch.scores.shape[1]}",
                remedy="give num_heads the number of scorers in the label",
            )
        if self.targets is None:
            return masked_log_softmax(batch.scores / self.teacher_temperature, batch.mask[:, None])
        return self.targets(batch.scores, batch.mask)

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        own = {"num_heads": len(self.offsets), "heads_weight": self.heads_weight, "merged_weight": self.merged_weight}
        return {**self.loss.get_config_dict(), **own}

    @property
    def citation(self) -> str:
        """BibTeX of the papers."""
        return CERBERUS + self.loss.citation


def concatenated(model: SentenceTransformer, loss: HeadsLoss) -> SentenceTransformer:
    """A copy of the student that gives the embeddings of all its heads side by side, by one further linear layer.

    The inner product of two of them is the sum of the heads' inner products. The layer is one of the host's, so the
    copy loads anywhere.

    Args:
        model: The trained student.
        loss: By which it was trained.

    Returns:
        A model of K times as many dimensions.
    """
    weights = loss.heads().detach().flatten(0, 1)  # (K * D, D)
    wide, width = weights.shape
    dense = Dense(width, wide, bias=False, activation_function=nn.Identity())
    with torch.no_grad():
        dense.linear.weight.copy_(weights)
    modules = [copy.deepcopy(module) for module in model]
    return SentenceTransformer(
        modules=[*modules, dense],
        device=str(model.device),
        prompts=dict(model.prompts or {}),
        similarity_fn_name=model.similarity_fn_name,
    )
