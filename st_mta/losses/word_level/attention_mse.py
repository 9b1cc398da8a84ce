"""Word-level distillation of attention: a bi-encoder's tokens look at each other as a cross-encoder's do."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor

from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.batch import Labels
from st_mta.losses.shares import mean_counts
from st_mta.losses.similarity import mean_over
from st_mta.losses.word_level.attention import (
    Distance,
    aligned_attention,
    attention_distance,
    interaction_logits,
    relation_logits,
)
from st_mta.losses.word_level.capture import unwrap
from st_mta.losses.word_level.loss import Reading, WordLevelLoss
from st_mta.losses.word_level.recorded import AnyAttention
from st_mta.losses.word_level.shown import shows_queries
from st_mta.losses.word_level.student_pass import StudentPass

Variant = Literal["interaction", "self", "relation"]


class AttentionMSELoss(WordLevelLoss):
    """Makes the student's tokens attend to each other as they do in a cross-encoder that reads query and passage.

    Implements the word level of MD2PR (https://arxiv.org/abs/2312.16821), which does not say which blocks of the
    cross-encoder's attention are compared; the variants are:

    - "interaction": query to passage and passage to query. The student, which computes none, gets
      softmax(H_q H_d^T / sqrt(D)) over its token states of the layer, one head, against the teacher's head mean.
    - "self": query to query and passage to passage, the student's own attention on each, as the mean over heads.
    - "relation": the same blocks of the query-query, key-key and value-value relations of MiniLM v2
      (https://arxiv.org/abs/2012.15828), each cut into as many heads as the student has and compared head by head.

    Deviations: attention is taken before dropout and renormalised over the tokens that both models have (no special
    token, padding, prompt or truncated rest); the mean over blocks, layers and pairs. MD2PR's own ranker, a DeBERTa,
    and others that compute attention within their layers (MPNet, RoFormer, XLNet) show its probabilities alone: enough
    for "interaction" and "self", while "relation" needs queries, keys and values. Windows (Longformer), pooled tokens
    (Funnel) and mixing without attention (FNet) are refused.

    Args:
        model: The student.
        teacher: A cross-encoder, read without gradient on every batch; frozen, and no submodule of the loss.
        variant: "interaction", "self" or "relation".
        distance: "mse", or "kl", which does not shrink with the number of tokens.
        options: ``layers``, ``num_candidates``, ``min_coverage`` and ``store``, as for ``WordLevelLoss``, which also
            states the attributes and inputs.

    Raises:
        InputError: If an argument is unknown, heads do not fit each other, or tokens do not align.

    Example:
        ::

            teacher = CrossEncoder("cross-encoder/ms-marco-MiniLM-L6-v2")
            loss = AttentionMSELoss(model, teacher=teacher)
            trainer = SentenceTransformerTrainer(model=model, train_dataset=dataset, loss=loss)
    """

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        teacher: CrossEncoder,
        variant: Variant = "interaction",
        distance: Distance = "mse",
        **options: Any,
    ) -> None:
        if not isinstance(teacher, CrossEncoder):
            raise InputError(
                expected="a CrossEncoder as teacher of AttentionMSELoss",
                got=type(teacher).__name__,
                remedy="use a CrossEncoder, or HiddenStateMSELoss",
            )
        check_choice("variant", variant, get_args(Variant))
        check_choice("distance", distance, get_args(Distance))
        super().__init__(model, teacher=teacher, **options)
        self.variant, self.distance = variant, distance
        self.num_heads = int(getattr(model.transformers_model.config, "num_attention_heads", 1))
        if variant == "relation":
            self._check_relations()
        of_student, self.attentions_of_teacher = (frozenset(side) for side in zip(*self.layers))
        if variant == "interaction":
            self.states_of_student = of_student
        else:
            self.attentions_of_student = of_student

    def _check_relations(self) -> None:
        """Relations need queries, keys and values of both models, and heads that fit."""
        expected, remedy = "models for variant 'relation'", "use variant='interaction' or 'self'"
        backbones = [unwrap(model).transformers_model for model in (self.model, self.teacher)]
        if hidden := [type(backbone).__name__ for backbone in backbones if not shows_queries(backbone)]:
            got = f"{hidden[0]}, which shows its attention alone"
            raise InputError(expected=f"{expected} that show queries, keys and values", got=got, remedy=remedy)
        width = backbones[1].config.hidden_size
        if width % self.num_heads:
            expected = f"a teacher whose width the student's {self.num_heads} heads divide, for variant 'relation'"
            raise InputError(expected=expected, got=f"width {width}", remedy=remedy)

    def _compare(self, student: StudentPass, labels: Labels | None) -> Tensor:
        reading = self.read_pairs(student, labels)
        with torch.autocast(student.queries.input_ids.device.type, enabled=False):
            distances = self._distances(reading)
        queries, documents = (alignment.compared.any(dim=-1) for alignment in reading.alignments)
        compared = queries & documents
        return mean_over(torch.stack(distances).mean(dim=0), compared, mean_counts(compared)[0])

    def _distances(self, reading: Reading) -> list[Tensor]:
        """(P,) for every layer, block and kind of relation."""
        blocks = [(0, 1), (1, 0)] if self.variant == "interaction" else [(0, 0), (1, 1)]
        mean_head, distances = self.variant != "relation", []
        for of_student, of_teacher in self.layers:
            teacher_logits = self._own_logits(reading.recorded.attentions[of_teacher])
            for looking, seen in blocks:
                rows, columns = reading.alignments[looking], reading.alignments[seen]
                for mine, theirs in zip(self._student_logits(reading, of_student, looking, seen), teacher_logits):
                    target, compared = aligned_attention(theirs, rows, columns), (rows.compared, columns.compared)
                    distances.append(attention_distance(mine, target, *compared, self.distance, mean_head=mean_head))
        return distances

    def _student_logits(self, reading: Reading, layer: int, looking: int, seen: int) -> list[Tensor]:
        """(P, H, I, J) for every kind of relation."""
        side, row = reading.sides[looking], reading.rows[looking]
        if self.variant == "interaction":
            other = reading.sides[seen].recorded.hidden_states[layer][reading.rows[seen]]
            return [interaction_logits(side.recorded.hidden_states[layer][row], other)]
        return [logits[row] for logits in self._own_logits(side.recorded.attentions[layer])]

    def _own_logits(self, attention: AnyAttention) -> list[Tensor]:
        return relation_logits(attention, self.num_heads) if self.variant == "relation" else [attention.logits()]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        return {**super().get_config_dict(), "variant": self.variant, "distance": self.distance}
