"""What losses over token states share: a frozen teacher that reads every batch, and the alignment of tokens."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor, nn

from st_mta.citations import MD2PR
from st_mta.losses.batch import Labels
from st_mta.losses.similarity import check_range
from st_mta.losses.word_level.alignment import Alignment, check_coverage
from st_mta.losses.word_level.capture import capture, num_layers, unwrap
from st_mta.losses.word_level.pairs import Layers, candidate_pairs, layer_map
from st_mta.losses.word_level.recorded import Recorded
from st_mta.losses.word_level.stored_reading import StoredReading
from st_mta.losses.word_level.student_pass import Side, StudentPass, run_student
from st_mta.losses.word_level.teacher_reader import TeacherReader
from st_mta.stores import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Reading:
    """What a teacher computed, and how to find the student's tokens in it.

    Attributes:
        recorded: What the teacher's layers computed, P rows.
        sides: One side of the student for single texts, queries and documents for pairs.
        rows: For each side (P,), which row of it stands in each row of the teacher's input.
        alignments: For each side, the student's tokens against the teacher's.
    """

    recorded: Recorded
    sides: list[Side]
    rows: list[Tensor]
    alignments: list[Alignment]


class WordLevelLoss(nn.Module):
    """A loss that compares what student and teacher compute between their first and last layer.

    Args:
        model: The student.
        teacher: Read without gradient; made ``eval()`` and frozen. It is no submodule: neither the optimizer nor a
            checkpoint nor the trainer's swap of the model reaches it.
        layers: "last", "uniform" or pairs (student's layer, teacher's layer) counted from 1; see ``layer_map``.
        num_candidates: With how many of a query's candidates (positives first) a cross-encoder reads it; None for all.
        min_coverage: Smallest share of the student's tokens that have to align with the teacher's, or it is refused.
        store: Where what the teacher computes is kept, so that it reads every text once; None reads live. It takes
            some kilobytes per token and layer.

    Attributes:
        coverage: Scalar, the share of the student's tokens that aligned in the last batch.

    Inputs:
        (query, positive, negative_1, ...) with any labels or none, or the flat form of ``ListwiseKLLoss``.
    """

    citation: str = MD2PR
    reads_layers = True
    teacher: CrossEncoder | SentenceTransformer
    states_of_student: frozenset[int] = frozenset()
    attentions_of_student: frozenset[int] = frozenset()
    states_of_teacher: frozenset[int] = frozenset()
    attentions_of_teacher: frozenset[int] = frozenset()

    def __init__(
        self,
        model: SentenceTransformer,
        *,
        teacher: CrossEncoder | SentenceTransformer,
        layers: Layers = "last",
        num_candidates: int | None = 1,
        min_coverage: float = 0.5,
        store: Store | None = None,
    ) -> None:
        super().__init__()
        self.model = model
        # Past nn.Module's registration.
        object.__setattr__(self, "teacher", teacher.eval().requires_grad_(False))
        self.layers = layer_map(layers, num_layers(model), num_layers(teacher))
        self.num_candidates = num_candidates
        self.min_coverage = min_coverage
        self.coverage = torch.zeros(())
        self._reader = TeacherReader(teacher, unwrap(model).tokenizer)
        self._stored = StoredReading(teacher, store) if store is not None else None
        self._inspected = False
        candidates = 1 if num_candidates is None else num_candidates
        check_range("num_candidates", candidates, candidates >= 1, "None or at least 1")
        check_range("min_coverage", min_coverage, 0 <= min_coverage <= 1, "in [0, 1]")

    def forward(self, sentence_features: Iterable[dict[str, Tensor]], labels: Labels | None = None) -> Tensor:
        """The loss of one batch; labels are needed in the flat form only, to know a query's candidates."""
        layers = {"hidden_states": self.states_of_student, "attentions": self.attentions_of_student}
        return self.compute_loss_from_pass(run_student(self.model, sentence_features, labels, **layers), labels)

    def compute_loss_from_pass(self, student: StudentPass, labels: Labels | None) -> Tensor:
        """The loss as a scalar, from a forward pass shared with other losses (see ``run_student``)."""
        # Attention does not depend on what comes after it in the last layer. Data-parallel training waits for a
        # gradient of all that the embeddings depend on, so there has to be one, of zero.
        nothing = 0.0 * torch.stack([embeddings.sum() for embeddings in student.embeddings]).sum()
        return self._compare(student, labels) + nothing

    def _compare(self, student: StudentPass, labels: Labels | None) -> Tensor:
        raise NotImplementedError

    def read_pairs(self, student: StudentPass, labels: Labels | None) -> Reading:
        """The teacher, a cross-encoder, on queries with their candidates."""
        sides = [student.queries, student.documents]
        num_queries, num_documents = (len(side.input_ids) for side in sides)
        device = student.queries.input_ids.device
        rows = candidate_pairs(num_queries, num_documents, labels, self.num_candidates, device)
        return self._read_once(student, sides, rows)

    def read_texts(self, student: StudentPass, side: Side) -> Reading:
        """The teacher, a bi-encoder, on texts by themselves."""
        rows = torch.arange(len(side.input_ids), device=side.input_ids.device)
        return self._read_once(student, [side], [rows])

    def _read_once(self, student: StudentPass, sides: list[Side], rows: list[Tensor]) -> Reading:
        """What another loss with the same teacher has read, or a new reading (see ``share_readings``)."""
        key = (id(self.teacher), self.num_candidates, *map(id, sides))
        if key not in student.readings:
            student.readings[key] = self._read(sides, rows)
        reading: Reading = student.readings[key]
        self._note_coverage(reading)
        return reading

    @torch.no_grad()
    def _read(self, sides: list[Side], rows: list[Tensor]) -> Reading:
        given = self._reader.read(sides, rows)
        if self._stored:
            layers = self.states_of_teacher, self.attentions_of_teacher
            recorded = self._stored(given.features, *layers, self._read_live)
        else:
            recorded = self._read_live(given.features)
        return Reading(recorded, sides, rows, given.alignments)

    def _read_live(self, features: dict[str, Tensor]) -> Recorded:
        device = features["input_ids"].device
        if self.teacher.device != device:
            self.teacher.to(device)
        wanted = {"hidden_states": self.states_of_teacher, "attentions": self.attentions_of_teacher}
        with capture(self.teacher, **wanted) as calls:
            self.teacher(features)
        return calls[0]

    def _note_coverage(self, reading: Reading) -> None:
        tokens = torch.stack([side.text[row].sum() for side, row in zip(reading.sides, reading.rows)]).sum()
        aligned = torch.stack([alignment.compared.sum() for alignment in reading.alignments]).sum()
        self.coverage = aligned / tokens.clamp(min=1)
        # Reading a value back stops an accelerator: once is enough.
        if not self._inspected:
            self._inspected = True
            check_coverage(float(self.coverage), self.min_coverage)
            logger.info(f"{float(self.coverage):.1%} of the student's tokens align with the teacher's.")

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        kind, name = type(self.teacher).__name__, self.teacher.model_card_data.base_model
        teacher = f"{kind}({name!r})" if name else kind
        return {"teacher": teacher, "layers": self.layers, "num_candidates": self.num_candidates}


def share_readings(losses: Iterable[WordLevelLoss]) -> None:
    """Makes each loss record what all losses with its teacher need, so that the first to read reads for all."""
    losses = list(losses)
    for teacher in {id(loss.teacher): loss.teacher for loss in losses}.values():
        together = [loss for loss in losses if loss.teacher is teacher]
        states = frozenset().union(*(loss.states_of_teacher for loss in together))
        attentions = frozenset().union(*(loss.attentions_of_teacher for loss in together))
        for loss in together:
            loss.states_of_teacher, loss.attentions_of_teacher = states, attentions


def reads_layers(loss: nn.Module) -> bool:
    """Whether a loss, or one inside it, looks into the student's layers, whose texts then stay padded."""
    return any(getattr(module, "reads_layers", False) for module in loss.modules())
