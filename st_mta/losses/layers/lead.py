"""Layer by layer: what the student's layers hold of a query's candidates follows what the teacher's layers do."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal, get_args

import numpy as np
import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor, nn

from st_mta.citations import LEAD
from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.batch import Labels, read_batch
from st_mta.losses.layers.around import AroundLoss
from st_mta.losses.layers.by_layer import LayerOutputs
from st_mta.losses.layers.distributions import (
    between_layers,
    layer_log_probs,
    loss_of_positives,
    weights_of_layers,
)
from st_mta.losses.layers.teacher_scores import TeacherScores
from st_mta.losses.list_loss import Components, embed, total
from st_mta.losses.shares import ALONE, BatchShares, shares_of
from st_mta.losses.similarity import check_range, mean_over
from st_mta.over_processes import num_processes, summed

Match = Literal["sampled", "closest"]


class LayerDistillationLoss(AroundLoss):
    """Makes distributions of the student's layers over a query's candidates those of a teacher's layers.

    Implements LEAD (https://arxiv.org/abs/2212.05225). In every step some layers of the student and as many of the
    teacher are drawn; in ascending order they are pairs l. With p_l softmax distributions over the candidates:

        loss + layer_weight * sum over l of lambda_l * KL(p_teacher,l || p_student,l)
        lambda = softmax over l of -NLL_teacher,l / 10

    where NLL_teacher,l is the mean over the batch of -log of the teacher's mass on the positives after that layer:
    layers that know what is relevant count more. A bi-encoder's layer scores by the similarity of its states, pooled
    as the model pools, a cross-encoder's by its head over them; neither has to be as deep or as wide as the student,
    nor to have its tokenizer. Deviations: the teacher is frozen (LEAD trains it too), and no KL flows from the student
    to it; layers are pooled by the model's own modules, not by their first token; the KL is the mean over the queries
    with at least two valid candidates; without any positive in a batch all pairs weigh the same.

    A bi-encoder reads each text once. A cross-encoder reads every query with all its candidates, in every step.

    Args:
        model: The student.
        teacher: A CrossEncoder with one label or a SentenceTransformer, read without gradient on every batch; frozen,
            and no submodule of the loss. It reads texts without prompts.
        loss: On the student's last layer, over embeddings of lists. Default: ``ListwiseKLLoss(model)``.
        layer_weight: Weight of the layers.
        num_layers: Layers drawn in a step; default: as many as the shallower of the two has.
        match: "sampled" draws the teacher's layers too, as LEAD does; "closest" gives each of the student's the layer
            of the teacher that it is nearest to in this batch, by KL.
        teacher_scale: Factor of the teacher's scores at every layer. Default: 20 for a bi-encoder compared by cosine,
            1 otherwise.
        weight_temperature: What the teacher's NLL is divided by, 10 in LEAD; large for nearly equal weights.
        seed: Of what is drawn, which depends on nothing else than this and the number of the step. A checkpoint holds
            that number, see ``KeepLossWeights``.
        return_components: Whether ``forward`` returns a dictionary of the terms, already weighted, for the trainer to
            log: those of the loss, and "layers". Default: as the loss does.

    Attributes:
        drawn: The pairs (student's layer, teacher's layer) of the last step, counted from 1.

    Inputs:
        As for ``ListwiseKLLoss``.

    Raises:
        InputError: If a model has no list of layers, the teacher is of another kind, or an argument is out of range.

    Example:
        ::

            loss = LayerDistillationLoss(model, teacher=teacher, loss=ListwiseKLLoss(model, contrastive_weight=1.0))
            trainer = SentenceTransformerTrainer(..., loss=loss, callbacks=[KeepLossWeights(loss)])
    """

    _teacher: TeacherScores

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        teacher: CrossEncoder | SentenceTransformer,
        loss: nn.Module | None = None,
        layer_weight: float = 1.0,
        num_layers: int | None = None,
        match: Match = "sampled",
        teacher_scale: float | None = None,
        weight_temperature: float = 10.0,
        seed: int = 0,
        return_components: bool | None = None,
    ) -> None:
        if teacher is model:
            raise InputError(
                expected="a teacher beside the student",
                got="the student itself",
                consequence="as a teacher it would be frozen, and learn nothing",
                remedy="give copy.deepcopy(model), or ExitsLoss, in which a student's layers teach each other",
            )
        super().__init__(model, loss, return_components)
        self.outputs = LayerOutputs(model)
        # Past nn.Module's registration, with the teacher inside.
        object.__setattr__(self, "_teacher", TeacherScores(teacher, model.tokenizer, teacher_scale))
        deepest = min(self.outputs.last, self._teacher.last)
        self.num_layers = deepest if num_layers is None else num_layers
        self.layer_weight, self.match = layer_weight, match
        self.weight_temperature, self.seed, self.steps = weight_temperature, seed, 0
        self.drawn: list[tuple[int, int]] = []
        check_choice("match", match, get_args(Match))
        check_range("layer_weight", layer_weight, 0 < layer_weight < math.inf, "positive")
        check_range("weight_temperature", weight_temperature, 0 < weight_temperature < math.inf, "positive")
        if not 1 <= self.num_layers <= deepest:
            raise InputError(
                expected=f"num_layers from 1 to {deepest}, the layers of the shallower model",
                got=repr(num_layers),
                remedy="leave it out, or name a number in this range",
            )

    def forward(
        self, sentence_features: Iterable[dict[str, Any]], labels: Labels | None
    ) -> Tensor | dict[str, Tensor]:
        """The loss of one batch, or its weighted terms with ``return_components``."""
        columns = list(sentence_features)
        of_student, of_teacher = self._draw()
        embeddings = self.outputs(
            self.model, of_student, lambda model: embed(model, [dict(column) for column in columns], labels)
        )
        batches = [read_batch(embeddings[layer], labels) for layer in of_student]
        student = torch.stack([self.list_logits(batch) for batch in batches], dim=1)
        teacher = self._teacher(columns, batches[0], of_teacher)
        terms = self.last_terms(embeddings[self.outputs.last], labels)
        mask, positive = batches[0].mask, batches[0].positive
        value, places = self.compare(student, teacher, mask, positive, shares_of(batches[0]))
        terms["layers"] = self.layer_weight * value
        self.drawn = [(layer, of_teacher[place]) for layer, place in zip(of_student, places)]
        return Components(terms) if self.return_components else total(terms)

    def compare(
        self, student: Tensor, teacher: Tensor, mask: Tensor, positive: Tensor, shares: BatchShares = ALONE
    ) -> tuple[Tensor, list[int]]:
        """The weighted sum of divergences as a scalar, and which of the teacher's layers each of the student's has.

        Args:
            student: (B, S, N) logits of the student's layers, in ascending order.
            teacher: (B, T, N) logits of the teacher's layers; S of them with ``match="sampled"``.
            mask: (B, N) bool, valid candidates.
            positive: (B, N) bool, the relevant ones of them.
            shares: Of several processes.
        """
        counts = mask.sum(dim=-1) >= 2
        theirs = layer_log_probs(teacher.detach(), mask)
        kl = mean_over(between_layers(theirs, layer_log_probs(student, mask), mask), counts, shares.lists)  # (T, S)
        judged = counts & positive.any(dim=-1)
        losses = _of_all(mean_over(loss_of_positives(theirs, positive), judged, shares.positives))
        pairs = list(range(student.shape[1]))
        places = pairs if self.match == "sampled" else _of_all(kl).argmin(dim=0).tolist()
        weights = weights_of_layers(losses[places], self.weight_temperature)
        return (weights * kl[places, pairs]).sum(), places

    def _draw(self) -> tuple[list[int], list[int]]:
        """Layers of the student and of the teacher, ascending; the same in every process."""
        generator = np.random.default_rng([self.seed, self.steps])
        self.steps += torch.is_grad_enabled()

        def some(last: int) -> list[int]:
            drawn = generator.choice(np.arange(1, last + 1), self.num_layers, replace=False)
            return sorted(drawn.tolist())

        student = some(self.outputs.last)
        closest = self.match == "closest"
        return student, list(range(1, self._teacher.last + 1)) if closest else some(self._teacher.last)

    def get_extra_state(self) -> dict[str, Any]:
        """The number of steps, for a checkpoint (see ``KeepLossWeights``)."""
        return {"steps": self.steps}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores it."""
        self.steps = state["steps"]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        names = "layer_weight num_layers match weight_temperature seed".split()
        own = {name: getattr(self, name) for name in names}
        return {
            **super().get_config_dict(),
            **own,
            "teacher": str(self._teacher),
            "teacher_scale": self._teacher.scale,
        }

    @property
    def citation(self) -> str:
        """BibTeX of the papers."""
        return LEAD + str(getattr(self.loss, "citation", ""))


def _of_all(shares: Tensor) -> Tensor:
    """The mean over all processes of their shares, without gradient."""
    values = shares.detach()
    return summed(values) / num_processes() if torch.is_grad_enabled() else values
