"""Listwise losses for batches whose activations do not fit into memory at once (GradCache)."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from sentence_transformers.base.losses import CachedLossMixin, gradcache, has_static_embedding_input
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from st_mta.errors import InputError
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.list_loss import Components, total
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.scope import LIST
from st_mta.losses.shares import BatchShares
from st_mta.losses.similarity import check_range
from st_mta.over_processes import num_processes

MINI_BATCH_SIZE = 32
PAIRS_AT_ONCE = 2**20
"""Of a query and a passage, each of which takes some sixty bytes while whole batches are compared."""


class CachedListwiseKLLoss(CachedLossMixin, ListwiseKLLoss):  # type: ignore[misc]
    """``ListwiseKLLoss`` with no more than ``mini_batch_size`` texts in a forward pass.

    Same value and gradient (Gao et al., 2021, https://arxiv.org/abs/2101.06983), at the price of a second forward
    pass: the embeddings of all texts are computed without activations, the loss and its gradient with respect to them
    at once, and then the texts pass through the student again, a mini-batch at a time, under the same random numbers.
    What grows with the batch is its embeddings and the label, and with candidates="in-batch" some ten bytes for each
    query and passage: queries are compared some at a time, unless ``query_weights`` or an objective that learns need
    all of them.

    Args:
        model: The student.
        mini_batch_size: Texts in memory at once.
        options: As for ``ListwiseKLLoss``.

    Inputs:
        As for ``ListwiseKLLoss``.

    Raises:
        InputError: If the student cannot embed a part of a batch, several processes train with a version of the host
            that has no such gradients across them, or an argument is out of range.

    Example:
        ::

            loss = CachedListwiseKLLoss(model, candidates="in-batch", mini_batch_size=64)
            args = SentenceTransformerTrainingArguments(..., per_device_train_batch_size=2048)
            trainer = SentenceTransformerTrainer(model=model, args=args, train_dataset=dataset, loss=loss)
    """

    def __init__(self, model: SentenceTransformer, *, mini_batch_size: int = MINI_BATCH_SIZE, **options: Any) -> None:
        super().__init__(model, **options)
        check_mini_batches(model, mini_batch_size)
        self.mini_batch_size = mini_batch_size
        self._terms: dict[str, Tensor] = {}
        self._own_gradients: dict[nn.Parameter, Tensor] = {}

    def forward(
        self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``."""
        self._own_gradients = {}
        loss: Tensor = CachedLossMixin.forward_cached(self, sentence_features, labels)
        for parameter, gradient in self._own_gradients.items():
            # Zero, with the gradient that was computed on the way: so the trainer's factors reach it too.
            part = (parameter * gradient).sum()
            loss = loss + part - part.detach()
        if not self.return_components:
            return loss
        first, *names = self._terms
        others = {name: self._terms[name] for name in names}
        return Components({first: loss - sum(others.values())} | others)  # all gradients flow through the first

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Labels | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss from the embeddings of all mini-batches; back-propagated and detached with ``with_backward``."""
        terms = self._components([torch.cat(column) for column in reps], labels)
        self._terms = {name: term.detach() for name, term in terms.items()}
        loss = total(terms)
        if not with_backward:
            return loss
        self._back_propagate(loss)
        return loss.detach()

    def _compare(self, lists: ListwiseBatch, shares: BatchShares, *, first: bool = False) -> dict[str, Tensor]:
        """The weighted terms over lists; over whole batches some queries at a time, computed again for gradients."""
        size = max(1, PAIRS_AT_ONCE // max(1, len(lists.documents)))
        starts = range(0, len(lists.queries), size)
        # Weights of queries, and what an objective learns, may begin with the mean of the batch.
        whole = self._comparison.weigh is not None or self._comparison.learned is not None
        if self.candidates == LIST or whole or len(starts) < 2:
            return super()._compare(lists, shares, first=first)
        shares = shares.counted(lists)
        parts = []
        for start in starts:
            compare = partial(super()._compare, lists.rows(slice(start, start + size)), shares)
            parts.append(checkpoint(compare, first=first and not start, use_reentrant=False))
        return {name: total({str(number): part[name] for number, part in enumerate(parts)}) for name in parts[0]}

    def _back_propagate(self, loss: Tensor) -> None:
        """Leaves gradients at the embeddings; those of the loss's own weights are kept for ``forward``."""
        own = _own_parameters(self)
        before = [parameter.grad for parameter in own]
        for parameter in own:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        for parameter, gradient in zip(own, before):
            if parameter.grad is not None:
                # MatryoshkaLoss asks once for each of its dimensions.
                self._own_gradients[parameter] = parameter.grad + self._own_gradients.get(parameter, 0)
            parameter.grad = gradient


def check_mini_batches(model: nn.Module, mini_batch_size: int) -> None:
    """Raises ``InputError`` where a batch cannot be embedded in parts, or the gradients of parts would be wrong."""
    check_range("mini_batch_size", mini_batch_size, mini_batch_size >= 1, "at least 1")
    if has_static_embedding_input(model):
        raise InputError(
            expected="a student that can embed a part of a batch",
            got="one that begins with a StaticEmbedding",
            remedy="leave mini_batch_size out: static embeddings need next to no memory",
        )
    if num_processes() > 1 and not hasattr(gradcache, "_ddp_replay_context"):
        raise InputError(
            expected="sentence-transformers 6.2 or later for mini-batches in several processes",
            got="an earlier one",
            consequence="the processes would wait for each other, since they have other numbers of mini-batches",
            remedy="install it, train by one process, or leave mini_batch_size out",
        )


def _own_parameters(loss: nn.Module) -> list[nn.Parameter]:
    """Those of the loss that are none of its student's."""
    of_student = {id(parameter) for parameter in loss.model.parameters()}  # type: ignore[union-attr]
    return [one for one in loss.parameters() if id(one) not in of_student and one.requires_grad]
