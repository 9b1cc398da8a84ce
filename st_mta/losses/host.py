"""The host's own losses on lists: columns query, positive, negative_1, ... made from either form of batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.lookup import word_of
from st_mta.losses.batch import Labels, ListwiseBatch
from st_mta.losses.list_loss import ListLoss
from st_mta.losses.shares import mean_counts

Label = Callable[[ListwiseBatch], Any]
"""From a batch of full lists to what the host's loss takes as label."""


def teacher_scores(batch: ListwiseBatch) -> Tensor:
    """(B, N) the teacher's raw scores, for losses that compare scores."""
    return batch.scores[:, 0]


def target_embeddings(batch: ListwiseBatch) -> list[Tensor]:
    """Another model's embeddings of every column, for ``EmbedDistillLoss``.

    Raises:
        InputError: If the label carries none.
    """
    if batch.query_targets is None or batch.document_targets is None:
        raise InputError(
            expected="a label in the flat form with query_targets and document_targets",
            got="none",
            remedy="add a bi-encoder's embeddings; FlatDocumentsCollator takes them as `targets`, and "
            "MultiAssistantTrainer gives it those of the best assistant where regression_weight is positive",
        )
    return [batch.query_targets, *batch.document_targets[batch.index].unbind(dim=1)]


class HostLoss(ListLoss):
    """A loss of Sentence Transformers on either form of ``ListwiseKLLoss``'s input.

    Distinct passages are encoded once; the host's loss gets their embeddings as columns (query, positive,
    negative_1, ...), positives first. Masked candidates are left out, and since the host knows full lists only, it is
    called once for each length of list; the mean over all queries counts, those of all processes where several train.
    Queries with fewer than two valid candidates do not. Similarities are computed in float32 or wider, also under
    autocast.

    Without a label the columns themselves say what is relevant: then queries without a valid positive do not count
    either, a query's further positives are left out, and a loss with in-batch negatives draws them from this process's
    lists of the same length.

    Args:
        model: The student.
        loss: A host's loss around the same model that has ``compute_loss_from_embeddings``.
        label: What it takes as label: ``teacher_scores``, ``target_embeddings``, a function of your own from a
            ``ListwiseBatch`` of full lists, or None for a loss that takes none.

    Inputs:
        As for ``ListwiseKLLoss``.

    Raises:
        InputError: If the loss does not work on embeddings, or is around another model.

    Example:
        ::

            loss = HostLoss(model, loss=MarginMSELoss(model), label=teacher_scores)
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
    """

    loss: Any  # compute_loss_from_embeddings is not declared by a base class of the host

    def __init__(self, model: SentenceTransformer, *, loss: nn.Module, label: Label | None) -> None:
        super().__init__()
        if not hasattr(loss, "compute_loss_from_embeddings") or getattr(loss, "model", model) is not model:
            raise InputError(
                expected="a loss with compute_loss_from_embeddings around the model of HostLoss",
                got=type(loss).__name__,
                remedy="build it around this model, or choose another, such as MarginMSELoss",
            )
        self.model, self.loss, self.label = model, loss, label

    def compute_loss_from_embeddings(self, embeddings: list[Tensor], labels: Labels | None) -> Tensor:
        """The loss as a scalar, from one embedding tensor per column; see ``ListwiseKLLoss`` for the shapes."""
        batch = self._read([widen(column) for column in embeddings], labels)
        # A batch without lists that count is zero, but attached to the graph.
        total, count = 0.0 * (batch.queries.sum() + batch.documents.sum()), 0
        with torch.autocast(batch.queries.device.type, enabled=False):
            for lists in _full_lists(batch, with_roles=self.label is None):
                columns = [lists.queries, *lists.documents[lists.index].unbind(dim=1)]
                label = None if self.label is None else self.label(lists)
                total = total + len(lists.queries) * self.loss.compute_loss_from_embeddings(columns, label)
                count += len(lists.queries)
        counted = torch.ones(count, device=batch.queries.device)
        return total / mean_counts(counted)[0]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        config: dict[str, Any] = getattr(self.loss, "get_config_dict", dict)()
        label = None if self.label is None else word_of(self.label)
        return {"loss": type(self.loss).__name__, "label": label, **config}

    @property
    def citation(self) -> str:
        """BibTeX of the host's loss; no attribute where it has none."""
        return str(self.loss.citation)


def _full_lists(batch: ListwiseBatch, *, with_roles: bool) -> Iterator[ListwiseBatch]:
    """The batch as parts whose lists have no masked candidate and one length each, positives first."""
    mask = batch.mask
    if with_roles:
        further = batch.positive & (batch.positive.cumsum(dim=-1) > 1)
        mask = mask & ~further & batch.positive.any(dim=-1, keepdim=True)
    lengths = mask.sum(dim=-1)
    order = (mask.int() + (mask & batch.positive)).argsort(dim=-1, descending=True, stable=True)
    for length in sorted(set(lengths[lengths >= 2].tolist())):
        rows = (lengths == length).nonzero().squeeze(1)
        at = rows[:, None], order[rows, :length]
        yield replace(
            batch,
            queries=batch.queries[rows],
            scores=batch.scores.mT[at].mT,
            index=batch.index[at],
            listed=batch.listed[at],
            mask=mask[at],
            positive=batch.positive[at],
            query_targets=None if batch.query_targets is None else batch.query_targets[rows],
        )
