"""Contrastive learning without the negatives that a teacher takes for unlabelled positives."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from sentence_transformers.base.losses import CachedLossMixin
from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.util import similarity_fct_name
from torch import Tensor, nn
from transformers import TrainerCallback, TrainerState, TrainingArguments

from st_mta.citations import MD2PR
from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.filters import DynamicFilter
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.filtering import excess_over_threshold, filtered_log_weights, rescue_empty_rows
from st_mta.losses.gather import gather_pool
from st_mta.losses.in_batch_teacher import InBatchTeacher
from st_mta.losses.info_nce import info_nce
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.shares import shares_of
from st_mta.losses.similarity import Similarity, mean_over, resolve_similarity, student_logits

logger = logging.getLogger(__name__)

LOOKED_AT = 64
"""Steps on an accelerator between two looks at whether the filter has emptied a list."""


class FilteredContrastiveLoss(ListLoss):
    """InfoNCE over a query's candidates and the batch's other passages, less the likely false negatives.

    Implements the filtered contrastive loss of MD2PR (https://arxiv.org/abs/2312.16821): the logit of a negative that
    the teacher scores above the filter's threshold becomes minus infinity, or with the filter's ``temperature`` the
    negative loses part of its weight: exp(s) becomes w * exp(s) in the denominator. Deviations: several positives, as
    in ``info_nce``; a query left without any negative keeps the one nearest to its threshold (with one warning).

    Args:
        model: The student.
        filter: Threshold and weight, possibly different in every iteration; see ``DynamicFilter``.
        in_batch_filter: The same for the teacher embeddings of the flat form, whose similarities have another range.
            Default: ``filter``.
        iteration: Which margin of a filter's schedule holds; an attribute to raise between iterations, or let
            ``FilterSchedule`` raise it with every epoch.
        similarity_fct: Matrix similarity of (B, D) and (U, D). Default: the model's own.
        scale: Factor of the student's similarities. Default 20.0 for cosine and 1.0 otherwise.
        gather_across_devices: Whether the passages of all processes are negatives of each process's queries. The list
            scores of other processes' queries say nothing about them; teacher embeddings do, and are gathered too.
        return_components: Whether ``forward`` returns "contrastive" and "filter_rate" for the trainer to log. The
            trainer adds both up, so its "loss" then holds the rate, as a constant without gradient.

    Attributes:
        filter_rate: Scalar, the weight lost in the last batch as a share of the negatives that the teacher judged.

    Inputs:
        As for ``ListwiseKLLoss``: scorer 0 is the teacher that filters. The flat form's label may also have
        "teacher_queries" (B, D') and "teacher_documents" (U, D'), embeddings of a bi-encoder, or a late-interaction
        teacher's token vectors with NaN behind the last: their dot products, or their MaxSim, filter the passages that
        are not in the query's own list.

    Raises:
        InputError: If an argument is out of range.

    Example:
        ::

            loss = FilteredContrastiveLoss(model, filter=DynamicFilter(relative_margin=0.05))
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
    """

    citation: str = MD2PR

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        filter: DynamicFilter | None = None,
        in_batch_filter: DynamicFilter | None = None,
        iteration: int = 0,
        similarity_fct: Similarity | None = None,
        scale: float | None = None,
        gather_across_devices: bool = False,
        return_components: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.filter = filter or DynamicFilter()
        self.in_batch_filter = in_batch_filter or self.filter
        self.iteration = iteration
        self.similarity_fct, self.scale = resolve_similarity(model, similarity_fct, scale)
        self.gather_across_devices = gather_across_devices
        self.return_components = return_components
        self.filter_rate = torch.zeros(())
        self._warned = False
        # Tensors, since plain attributes tell one loss from another.
        self._emptied, self._calls = torch.tensor(False), torch.tensor(0)

    def _components(self, embeddings: list[Tensor], labels: Labels | None) -> dict[str, Tensor]:
        loss = self.compute_loss_from_embeddings(embeddings, labels)
        return {"contrastive": loss, "filter_rate": self.filter_rate}

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Labels | None) -> Tensor:
        """The loss as a scalar, from one embedding tensor per column; see ``ListwiseKLLoss`` for the shapes."""
        batch = self._read(embeddings, labels)
        teacher = labels if isinstance(labels, dict) else {}
        shares = shares_of(batch, documents=self.gather_across_devices)
        batch, pool, teacher_documents = gather_pool(
            batch,
            teacher.get("teacher_documents"),
            across_devices=self.gather_across_devices,
            copies=shares.copies,
        )
        positive, negative = batch.roles(pool)
        log_weights, excess = self._judge(batch, positive, teacher.get("teacher_queries"), teacher_documents)
        has_positive = positive.any(dim=-1, keepdim=True)
        judged = negative & excess.isfinite() & has_positive
        self.filter_rate = mean_over(1 - log_weights.exp().flatten(), judged.flatten())
        log_weights, empty = rescue_empty_rows(log_weights, excess, negative & has_positive)
        self._warn_once(empty)
        logits = student_logits(batch.queries, batch.documents, self.similarity_fct, self.scale)
        kept = negative & (log_weights > -torch.inf)
        losses = info_nce(logits + torch.where(kept, log_weights, 0.0), positive, kept)
        return mean_over(losses, batch.counts & has_positive.squeeze(-1), shares.positives)

    @torch.no_grad()
    def _judge(
        self, batch: ListwiseBatch, positive: Tensor, queries: Tensor | None, documents: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """(B, U') log-weight of every passage as a negative, and how far the teacher's score exceeds its threshold.

        The scores of a query's own list, and for all other passages the dot products of the teacher's embeddings.
        """
        excess = excess_over_threshold(batch.scores[:, 0], batch.positive, self.filter, self.iteration)
        excess = batch.over_documents(batch.mask, excess, -torch.inf)
        log_weights = filtered_log_weights(excess, self.filter.temperature)
        if queries is None or documents is None:
            return log_weights, excess
        teacher = InBatchTeacher(widen(queries.detach()))
        listed, scores = batch.over_documents(batch.mask), teacher.compare(widen(documents))
        in_batch = excess_over_threshold(scores, positive, self.in_batch_filter, self.iteration)
        in_batch_weights = filtered_log_weights(in_batch, self.in_batch_filter.temperature)
        return torch.where(listed, log_weights, in_batch_weights), torch.where(listed, excess, in_batch)

    def _warn_once(self, empty: Tensor) -> None:
        # Reading a value back stops an accelerator: it is done now and then, and not again after the warning.
        if self._warned:
            return
        self._emptied = empty.any() | self._emptied.to(empty.device)
        self._calls += 1
        if (empty.device.type == "cpu" or self._calls % LOOKED_AT == 0) and bool(self._emptied):
            self._warned = True
            logger.warning(
                "The filter removed every negative of a query; the one nearest to its threshold was put back. "
                "If this is common (see the loss's filter_rate), use a smaller margin."
            )

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        return {
            "filter": str(self.filter),
            "in_batch_filter": str(self.in_batch_filter),
            "similarity_fct": similarity_fct_name(self.similarity_fct),
            "scale": self.scale,
            "gather_across_devices": self.gather_across_devices,
        }


class CachedFilteredContrastiveLoss(CachedLossMixin, FilteredContrastiveLoss):  # type: ignore[misc]
    """``FilteredContrastiveLoss`` for batches whose activations do not fit into memory at once (GradCache).

    Same value and gradient (https://arxiv.org/abs/2101.06983), at the price of a second forward pass.

    Args:
        model: The student.
        mini_batch_size: Texts in memory at once.
        options: As for ``FilteredContrastiveLoss``; components cannot be returned.

    Raises:
        InputError: If components are asked for, or an argument is out of range.
    """

    def __init__(self, model: SentenceTransformer, *, mini_batch_size: int = 32, **options: Any) -> None:
        super().__init__(model, **options)
        if self.return_components:
            raise InputError(
                expected="return_components=False for a cached loss",
                got="True",
                remedy="leave it out and read the loss's filter_rate",
            )
        self.mini_batch_size = mini_batch_size

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None) -> Tensor:
        """The loss of one batch."""
        loss: Tensor = CachedLossMixin.forward_cached(self, sentence_features, labels)
        return loss

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Labels | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from the embeddings of all mini-batches; back-propagated and detached with ``with_backward``."""
        loss = self.compute_loss_from_embeddings([torch.cat(column) for column in reps], labels)
        if not with_backward:
            return loss
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()


def set_filter_iteration(loss: nn.Module, iteration: int) -> None:
    """Tells every loss with an ``in_batch_filter`` in a loss which margin of its filter's schedule holds."""
    for module in loss.modules():
        if isinstance(getattr(module, "in_batch_filter", None), DynamicFilter):
            module.iteration = iteration  # type: ignore[assignment]


class FilterSchedule(TrainerCallback):  # type: ignore[misc]
    """Makes each epoch one iteration of the filter's schedule; resuming continues with the right one.

    Args:
        loss: A ``FilteredContrastiveLoss``, or a loss with one inside.

    Example:
        ::

            loss = FilteredContrastiveLoss(model, filter=DynamicFilter(relative_margin=[0.0, 0.05, 0.1]))
            trainer = SentenceTransformerTrainer(..., loss=loss, callbacks=[FilterSchedule(loss)])
    """

    def __init__(self, loss: nn.Module) -> None:
        self.loss = loss

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Counts iterations from 0."""
        set_filter_iteration(self.loss, int(state.epoch or 0))
