"""A teacher's scores of a batch's candidates after each of its layers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import Tensor

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.layers.by_layer import LayerOutputs
from st_mta.losses.similarity import check_range, resolve_similarity, student_logits
from st_mta.losses.word_level.student_pass import Side, side_of
from st_mta.losses.word_level.teacher_reader import TeacherReader


class TeacherScores:
    """Reads a student's batch by a frozen teacher, and scores its lists after every layer that is asked for.

    Args:
        teacher: A CrossEncoder with one label, or a SentenceTransformer; made ``eval()`` and frozen.
        student_tokenizer: The student's.
        scale: Factor of its scores. Default: 20 for a bi-encoder compared by cosine, 1 otherwise.

    Attributes:
        last: Number of its layers.

    Raises:
        InputError: If it is of another kind, or answers from more than its layers.
    """

    def __init__(
        self, teacher: CrossEncoder | SentenceTransformer, student_tokenizer: Any, scale: float | None = None
    ) -> None:
        if not isinstance(teacher, (CrossEncoder, SentenceTransformer)) or getattr(teacher, "num_labels", 1) != 1:
            kind = type(teacher).__name__
            raise InputError(
                expected="a CrossEncoder with one label or a SentenceTransformer as teacher of layers",
                got=f"{kind} with {teacher.num_labels} labels" if isinstance(teacher, CrossEncoder) else kind,
                consequence="its layers would have no score of a query and a passage",
                remedy="take another teacher, or a loss over lists, which any scorer can teach",
            )
        self.teacher = teacher.eval().requires_grad_(False)
        self.outputs = LayerOutputs(teacher)
        self.last = self.outputs.last
        self.student_tokenizer = student_tokenizer
        self._reader = TeacherReader(teacher, student_tokenizer)
        self._similarity = None
        if isinstance(teacher, SentenceTransformer):
            self._similarity, scale = resolve_similarity(teacher, None, scale)
        self.scale = 1.0 if scale is None else scale
        check_range("teacher_scale", self.scale, self.scale > 0, "positive")

    def __str__(self) -> str:
        kind, name = type(self.teacher).__name__, self.teacher.model_card_data.base_model
        return f"{kind}({name!r})" if name else kind

    @torch.no_grad()
    def __call__(self, columns: list[dict[str, Any]], batch: ListwiseBatch, layers: Collection[int]) -> Tensor:
        """(B, L, N) logits, meaningless where masked.

        Args:
            columns: What the student read, the queries' first.
            batch: The same as lists.
            layers: L of them, ascending.
        """
        sides = [side_of(self.student_tokenizer, part) for part in (columns[:1], columns[1:])]
        device = sides[0].input_ids.device
        if self.teacher.device != device:
            self.teacher.to(device)
        found = self._of_texts(sides, batch, layers) if self._similarity else self._of_pairs(sides, batch, layers)
        return self.scale * torch.stack([found[layer] for layer in sorted(layers)], dim=1)

    def _of_pairs(self, sides: list[Side], batch: ListwiseBatch, layers: Collection[int]) -> Mapping[int, Tensor]:
        """A cross-encoder's, of every query with its valid candidates."""
        rows, places = batch.mask.nonzero(as_tuple=True)
        features = self._reader.read(sides, [rows, batch.index[rows, places]]).features
        scores = self.outputs(self.teacher, layers, lambda model: model(dict(features))["scores"])
        tables = {layer: batch.queries.new_zeros(batch.mask.shape, dtype=torch.float32) for layer in scores}
        for layer, table in tables.items():
            table[rows, places] = scores[layer].reshape(-1).to(table.dtype)
        return tables

    def _of_texts(self, sides: list[Side], batch: ListwiseBatch, layers: Collection[int]) -> Mapping[int, Tensor]:
        """A bi-encoder's, of every text by itself."""
        rows = [torch.arange(len(side.input_ids), device=side.input_ids.device) for side in sides]
        read = [self._reader.read([side], [row]).features for side, row in zip(sides, rows)]
        embeddings = self.outputs(
            self.teacher, layers, lambda model: [model(dict(features))["sentence_embedding"] for features in read]
        )
        assert self._similarity is not None
        return {
            layer: student_logits(widen(queries), widen(documents), self._similarity, 1.0).gather(1, batch.index)
            for layer, (queries, documents) in embeddings.items()
        }
