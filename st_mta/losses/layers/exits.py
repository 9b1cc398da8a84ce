"""A student with exits: its first layers are students themselves, trained together with it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import Tensor, nn

from st_mta.citations import MOSE
from st_mta.distributions import masked_kl, masked_log_softmax
from st_mta.errors import InputError
from st_mta.losses.batch import Labels, read_batch
from st_mta.losses.layers.around import AroundLoss
from st_mta.losses.layers.by_layer import LayerOutputs
from st_mta.losses.list_loss import Components, embed, total
from st_mta.losses.scope import LIST, label_of_scope
from st_mta.losses.shares import shares_of
from st_mta.losses.similarity import check_range, mean_over

Weights = str | Sequence[float]
BY_DEPTH, UNIFORM = "depth", "uniform"


class ExitsLoss(AroundLoss):
    """Trains the student's first layers as students of their own, each led by the next larger one.

    Implements the hierarchical self-distillation of MoSE (https://arxiv.org/abs/2503.03008) around a loss over
    candidate lists. With L(n) that loss after layer n, N the number of layers, and m the exit that follows n:

        L(N) + sum over exits n of w_n * (L(n) + guidance * KL(p_m || p_n))

    p are the softmax distributions over a query's candidates, that of the larger exit without gradient; KL is the mean
    over the queries with at least two valid candidates. All exits share pooling and further modules with the whole
    student, and one forward pass: an exit costs its pooling and its loss. Each is the model that ``prune_layers``
    makes of the trained student. Deviations: any loss over lists in the place of the contrastive one; the guidance is
    over the lists, not by the shared loss alone; the weights are arguments.

    The host's ``AdaptiveLayerLoss`` draws one layer in each step, compares embeddings instead of distributions, and
    leaves out the norm that some backbones (ModernBERT, T5, Qwen) have behind their last layer, so that what it
    trains there is another model than the pruned one.

    Args:
        model: The student.
        loss: Over embeddings of lists, and around the same student. Default: ``ListwiseKLLoss(model)``.
        exits: After how many layers, each at least 1 and fewer than the student has.
        weights: "depth" for w_n = n / N, "uniform" for 1, or a weight for each exit in ascending order.
        guidance: Weight of the larger exit's distribution; 0 leaves the loss alone, which then needs no lists.
        return_components: Whether ``forward`` returns a dictionary of the terms, already weighted, for the trainer to
            log: those of the whole student, "exit_1", ... and "guidance". Default: as the loss does.

    Inputs:
        As for the loss.

    Raises:
        InputError: If there is no such layer, the loss does not work on embeddings, is cached or around another model,
            an argument is out of range, or the first layers of the backbone are not a model of their own.

    Example:
        ::

            loss = ExitsLoss(model, loss=ListwiseKLLoss(model), exits=[1, 3])
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
            trainer.train()
            smaller = prune_layers(model, [0, 1, 2])  # the exit after three layers
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        loss: nn.Module | None = None,
        exits: Sequence[int],
        weights: Weights = BY_DEPTH,
        guidance: float = 1.0,
        return_components: bool | None = None,
    ) -> None:
        super().__init__(model, loss, return_components)
        self.outputs = LayerOutputs(model)
        self.exits = _checked_exits(exits, self.outputs.last)
        self.weights = _weights(weights, self.exits, self.outputs.last)
        self.guidance = guidance
        check_range("guidance", guidance, 0 <= guidance < math.inf, "at least 0")

    def forward(
        self, sentence_features: Iterable[dict[str, Any]], labels: Labels | None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``."""
        columns = list(sentence_features)
        embeddings = self.outputs(
            self.model, self.exits, lambda model: embed(model, [dict(column) for column in columns], labels)
        )
        terms = self._terms(embeddings, labels)
        return Components(terms) if self.return_components else total(terms)

    def compute_loss_from_exits(self, embeddings: Mapping[int, list[Tensor]], labels: Labels | None) -> Tensor:
        """The loss as a scalar.

        Args:
            embeddings: After every exit and after the last layer, columns as for the loss.
            labels: As for the loss.
        """
        return total(self._terms(embeddings, labels))

    def _terms(self, embeddings: Mapping[int, list[Tensor]], labels: Labels | None) -> dict[str, Tensor]:
        terms = self.last_terms(embeddings[self.outputs.last], labels)
        for layer, weight in zip(self.exits, self.weights):
            value = self.loss.compute_loss_from_embeddings(embeddings[layer], labels)
            terms[f"exit_{layer}"] = weight * value
        if self.guidance and self.exits:
            terms["guidance"] = self.guidance * self._guide(embeddings, labels)
        return terms

    def _guide(self, embeddings: Mapping[int, list[Tensor]], labels: Labels | None) -> Tensor:
        """The weighted sum over the exits of the mean KL from the next larger one."""
        scope = getattr(self.loss, "candidates", LIST)
        batches = [
            read_batch(embeddings[layer], label_of_scope(scope, embeddings[layer], labels))
            for layer in (*self.exits, self.outputs.last)
        ]
        shares = shares_of(batches[0])
        log_probs = [masked_log_softmax(self.list_logits(batch), batch.mask) for batch in batches]
        led = [
            weight * mean_over(masked_kl(larger.detach(), smaller, batch.mask), batch.counts, shares.lists)
            for weight, smaller, larger, batch in zip(self.weights, log_probs, log_probs[1:], batches)
        ]
        return total(dict(enumerate(led)))  # type: ignore[arg-type]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        own = {"exits": self.exits, "weights": self.weights, "guidance": self.guidance}
        return {**super().get_config_dict(), **own}

    @property
    def citation(self) -> str:
        """BibTeX of the papers."""
        return MOSE + str(getattr(self.loss, "citation", ""))


def without_exits(loss: nn.Module) -> nn.Module:
    """The loss inside an ``ExitsLoss``; any other loss itself."""
    return loss.loss if isinstance(loss, ExitsLoss) else loss


def _checked_exits(exits: Sequence[int], last: int) -> list[int]:
    given = list(exits)
    if not given or len({*given}) < len(given) or not all(isinstance(n, int) and 1 <= n < last for n in given):
        raise InputError(
            expected=f"exits after 1 to {last - 1} of the student's {last} layers, each once",
            got=repr(given),
            consequence="there would be no smaller student",
            remedy="name some of these numbers; the whole student needs no exit",
        )
    return sorted(given)


def _weights(weights: Weights, exits: Sequence[int], last: int) -> list[float]:
    named = {BY_DEPTH: [layer / last for layer in exits], UNIFORM: [1.0] * len(exits)}
    found = named.get(weights) if isinstance(weights, str) else [float(weight) for weight in weights]
    if found is None or len(found) != len(exits) or not all(0 < weight < math.inf for weight in found):
        raise InputError(
            expected=f"weights 'depth', 'uniform' or {len(exits)} positive numbers",
            got=repr(weights),
            remedy="give a weight for each exit, in ascending order of the exits",
        )
    return found
