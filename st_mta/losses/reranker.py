"""Listwise distillation of a cross-encoder: its logits of a query's candidates follow teacher and assistants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.util import batch_to_device, dot_score
from torch import Tensor, nn

from st_mta.citations import MTA4DPR
from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.losses.batch import FLAT_KEYS, ListwiseBatch, read_batch
from st_mta.losses.info_nce import info_nce
from st_mta.losses.list_loss import Components, total
from st_mta.losses.list_targets import Targets
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.objectives import Objective
from st_mta.losses.pool import Pool
from st_mta.losses.query_weights import UNIFORM, QueryWeights
from st_mta.losses.shares import BatchShares, shares_of
from st_mta.losses.similarity import check_range, mean_over

Inputs = Iterable[dict[str, Any]] | Sequence[Any]
"""Columns of tokenised pairs, or the host's texts: B queries and for each a list of passages."""


class OwnLists(ListwiseKLLoss):
    """The listwise loss where there is a logit of a query's own candidates and of no other document of the batch."""

    def _pool(self, logits: Tensor, batch: ListwiseBatch, shares: BatchShares) -> Pool:
        return Pool(logits, batch, torch.zeros_like(batch.index[0, :1], dtype=torch.bool).expand(len(batch.documents)))


class ListwiseRerankerLoss(nn.Module):
    """Makes a cross-encoder rank each query's candidates as its teacher and its assistants do.

    The loss of [`ListwiseKLLoss`] with a cross-encoder's logits in the place of similarities:

        alpha * D(teacher, student) + (1 - alpha) * D(assistant, student) + contrastive_weight * CE

    D is the objective, given ``scale`` times the logits of a query's candidates. With KL this is the listwise
    distillation of rankers into smaller ones, and with a contrastive weight of 1 the soft and the hard prediction
    loss of Simplified TinyBERT (Chen et al., ECIR 2021, https://arxiv.org/abs/2009.07531, Eqs. 5 and 6).
    Deviations: CE is over the query's own candidates, each positive against the negatives alone; means are over the
    queries that count, as in ``ListwiseKLLoss``.

    Args:
        model: The student, a cross-encoder with one output.
        targets: As for ``ListwiseKLLoss``.
        scale: Factor of the student's logits.
        teacher_temperature: Divides every scorer's raw scores; unused with ``targets``.
        objective: What compares the student with a target, as for ``ListwiseKLLoss``; where it also looks at the
            batch's other documents, there are none.
        objective_options: Options of the objective.
        query_weights: How much each query weighs, as for ``ListwiseKLLoss``.
        alpha: Weight of the teacher against the other targets, in [0, 1].
        contrastive_weight: Weight of CE on the positives; 0 leaves it out.
        mini_batch_size: Pairs per forward pass where the input is texts; None takes all at once.
        return_components: Whether ``forward`` returns a dictionary of the weighted terms for the trainer to log.

    Inputs:
        +------------------------------------------+--------------------------------------------------------------+
        | Inputs                                   | Labels                                                       |
        +==========================================+==============================================================+
        | (query, [passage_1, ..., passage_N]),    | for each query N raw scores of one teacher, or S lists of N, |
        | N may differ; as in the host's           | the teacher's first; the first passage is the positive       |
        | ``CrossEncoderTrainer``                  |                                                              |
        +------------------------------------------+--------------------------------------------------------------+
        | columns of tokenised pairs, as           | {"scores": (B, S, N), "index": (B, N) counting through the   |
        | ``PairsCollator`` makes them             | pairs, -1 for padding, "positive": (B, N) bool}              |
        +------------------------------------------+--------------------------------------------------------------+

        N >= 2. A score that is NaN or -inf in any scorer marks a missing candidate.

    Raises:
        InputError: If the model has more than one output, an argument is out of range, or labels do not fit the lists.

    Example:
        ::

            columns = {"query": [...], "passages": [[...], ...], "label": [[8.1, -3.0, 2.2], ...]}
            loss = ListwiseRerankerLoss(model, contrastive_weight=1.0)
            trainer = CrossEncoderTrainer(model=model, train_dataset=Dataset.from_dict(columns), loss=loss)
    """

    citation: str = MTA4DPR

    def __init__(
        self,
        model: CrossEncoder,
        *,
        targets: Targets | None = None,
        scale: float = 1.0,
        teacher_temperature: float = 1.0,
        objective: str | Objective = "kl",
        objective_options: Mapping[str, Any] | None = None,
        query_weights: str | QueryWeights = UNIFORM,
        alpha: float = 0.5,
        contrastive_weight: float = 0.0,
        mini_batch_size: int | None = None,
        return_components: bool = False,
    ) -> None:
        super().__init__()
        _check_outputs(model)
        size = 1 if mini_batch_size is None else mini_batch_size
        check_range("mini_batch_size", size, size >= 1, "at least 1")
        check_range("contrastive_weight", contrastive_weight, 0 <= contrastive_weight < torch.inf, "at least 0")
        self.model = model
        # A pair's logit is the inner product of 1, in the place of the query, and the logit.
        self.lists = OwnLists(
            model,
            targets=targets,
            similarity_fct=dot_score,
            scale=scale,
            teacher_temperature=teacher_temperature,
            objective=objective,
            objective_options=objective_options,
            query_weights=query_weights,
            alpha=alpha,
        )
        self.contrastive_weight, self.mini_batch_size = contrastive_weight, mini_batch_size
        self.return_components = return_components

    @property
    def alpha(self) -> float:
        """Weight of the teacher against the other targets; a schedule may set it."""
        return self.lists.alpha

    @alpha.setter
    def alpha(self, alpha: float) -> None:
        self.lists.alpha = alpha

    @property
    def objective(self) -> str | Objective:
        """What the student is compared with its targets by."""
        return self.lists.objective

    @property
    def of_teacher_alone(self) -> bool:
        """Whether the objective has no use for assistants."""
        return self.lists.of_teacher_alone

    @property
    def scale(self) -> float:
        """Factor of the student's logits."""
        return self.lists.scale

    def forward(
        self, inputs: Inputs, labels: Any, prompt: str | None = None, task: str | None = None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``.

        Args:
            inputs: See above.
            labels: See above.
            prompt: Of the pairs, where they come as texts, as the host's trainer gives it.
            task: The same, for the model's preprocessing.
        """
        if isinstance(labels, dict):
            logits, flat = torch.cat([self._logits(features) for features in inputs]), labels
        else:
            logits, flat = self._of_texts(list(inputs), labels, {"prompt": prompt, "task": task})
        terms = self.compute_components_from_logits(logits, flat)
        return Components(terms) if self.return_components else total(terms)

    def compute_components_from_logits(self, logits: Tensor, labels: dict[str, Tensor]) -> dict[str, Tensor]:
        """The weighted terms by name.

        Args:
            logits: (P,) of the batch's pairs.
            labels: The dictionary described above.
        """
        columns = [logits.new_ones(len(labels["index"]), 1), logits[:, None]]
        terms = self.lists._components(columns, labels)
        if self.contrastive_weight:
            terms["contrastive"] = self.contrastive_weight * self._contrast(read_batch(columns, labels))
        return terms

    def _contrast(self, batch: ListwiseBatch) -> Tensor:
        """CE of the positives against the negatives of their own lists."""
        logits = self.scale * widen(batch.documents).squeeze(-1)[batch.index]
        values = info_nce(logits, batch.positive, batch.mask & ~batch.positive)
        return mean_over(values, batch.counts & batch.positive.any(dim=-1), shares_of(batch).positives)

    def _logits(self, features: dict[str, Any]) -> Tensor:
        """(P,) of tokenised pairs."""
        logits: Tensor = self.model(features)["scores"].reshape(-1)
        return logits

    def _of_texts(self, inputs: list[Any], labels: Any, options: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits of the host's lists of texts, one list behind the other, and their labels in one dictionary."""
        flat = _padded(inputs, labels)
        pairs = [(query, passage) for query, passages in zip(*inputs) for passage in passages]
        size, device = self.mini_batch_size or len(pairs), next(self.model.parameters()).device
        given = {name: value for name, value in options.items() if value is not None}
        logits = [
            self._logits(batch_to_device(self.model.preprocess(pairs[start : start + size], **given), device))
            for start in range(0, len(pairs), size)
        ]
        return torch.cat(logits), {name: value.to(device) for name, value in flat.items()}

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        config = self.lists.get_config_dict()
        own = {"similarity_fct", "contrastive_scale", "regression_weight", "gather_across_devices"}
        kept: dict[str, Any] = {name: value for name, value in config.items() if name not in own}
        return {**kept, "contrastive_weight": self.contrastive_weight}


def _padded(inputs: list[Any], labels: Any) -> dict[str, Tensor]:
    """The flat form of B lists of scores, (N,) or (S, N) each, whose first passage is the positive."""
    scores = [torch.as_tensor(one, dtype=torch.float32) for one in ([] if labels is None else labels)]
    scores = [one[None] if one.ndim == 1 else one for one in scores]
    lengths = [len(passages) for passages in inputs[1]] if len(inputs) == 2 else []
    widths = [one.shape[-1] if one.ndim == 2 else -1 for one in scores]
    if not lengths or widths != lengths or len({len(one) for one in scores}) > 1:
        raise InputError(
            expected="two columns, queries and lists of passages, and a label with one score for each passage "
            "(or as many lists of them as there are scorers)",
            got=f"{len(inputs)} columns, lists of {lengths[:3]} passages and labels of shape "
            f"{[tuple(one.shape) for one in scores][:3]}, to show the first",
            remedy="write columns query, passages and label",
        )
    shape = len(scores), len(scores[0]), max(2, *lengths)
    padded, index = torch.full(shape, torch.nan), torch.full((shape[0], shape[2]), -1)
    starts = torch.tensor([0, *lengths]).cumsum(0).tolist()
    for row, (one, length, start) in enumerate(zip(scores, lengths, starts)):
        padded[row, :, :length] = one.detach()
        index[row, :length] = torch.arange(start, start + length)
    first = torch.zeros_like(index, dtype=torch.bool)
    first[:, 0] = True
    return dict(zip(FLAT_KEYS, (padded, index, first)))


def _check_outputs(model: Any) -> None:
    if (outputs := getattr(model, "num_labels", None)) != 1:
        raise InputError(
            expected="a CrossEncoder with one output, the relevance of the passage",
            got=type(model).__name__ if outputs is None else f"one with {outputs} outputs",
            remedy="load it with num_labels=1; for a SentenceTransformer there is ListwiseKLLoss",
        )
