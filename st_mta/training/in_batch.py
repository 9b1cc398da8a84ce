"""A teacher of whole batches: where its scores of every query with every passage of a batch come from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from st_mta.errors import InputError
from st_mta.losses.in_batch_teacher import DOCUMENTS, QUERIES
from st_mta.losses.scope import IN_BATCH
from st_mta.progress import progress
from st_mta.scorers import EmbeddingScorer, LateInteractionScorer
from st_mta.scorers.view import ViewScorer
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.options import SIMILARITY
from st_mta.types import Collection, FloatArray, IntArray, Scorer, Texts

TEXTS_AT_ONCE = 2**12
"""Texts whose token vectors are in memory at once on their way to the disk."""


class BatchTeacher(Protocol):
    """Says of a batch what its label holds of the teacher."""

    def prepare(self, queries: IntArray, documents: IntArray) -> None:
        """Takes note of all queries and passages (positions, ascending) that batches can hold."""

    def __call__(self, queries: IntArray, documents: IntArray) -> dict[str, Tensor]:
        """The keys of [`st_mta.losses.in_batch_teacher`] for (B,) queries and (U,) passages."""


@dataclass(frozen=True)
class TeacherEmbeddings:
    """A bi-encoder's stored embeddings.

    Attributes:
        queries: Of all queries.
        documents: Of all passages.
    """

    queries: Embeddings
    documents: Embeddings

    def prepare(self, queries: IntArray, documents: IntArray) -> None:
        """Nothing: all are stored."""

    def __call__(self, queries: IntArray, documents: IntArray) -> dict[str, Tensor]:
        """(B, D') and (U, D')."""
        sides = {QUERIES: self.queries.rows(queries), DOCUMENTS: self.documents.rows(documents)}
        return {name: torch.from_numpy(rows) for name, rows in sides.items()}


@dataclass
class TeacherTokens:
    """A late-interaction teacher's token vectors of the texts of a training, encoded when it begins.

    They are kept in a temporary file: a token takes 4 bytes per dimension, a passage of a hundred tokens some fifty
    kilobytes. All are encoded in one fixed order, whether a training begins or resumes.

    Attributes:
        scorer: The teacher.
        queries: The texts that it reads as queries.
        documents: And as passages.
    """

    scorer: LateInteractionScorer
    queries: Texts
    documents: Texts
    _sides: dict[str, TokenVectors] = field(default_factory=dict, init=False, repr=False)

    def prepare(self, queries: IntArray, documents: IntArray) -> None:
        """Encodes these texts, unless it is done."""
        parts: tuple[tuple[str, Role, Texts, IntArray], ...] = (
            (QUERIES, "query", self.queries, queries),
            (DOCUMENTS, "document", self.documents, documents),
        )
        for name, role, texts, positions in parts:
            if name not in self._sides or not np.isin(positions, self._sides[name].positions).all():
                self._sides[name] = TokenVectors.of(partial(self._encode, role=role), texts, positions)

    def __call__(self, queries: IntArray, documents: IntArray) -> dict[str, Tensor]:
        """(B, L, D') and (U, M, D'), NaN behind a text's last token."""
        return {name: self._sides[name].padded(some) for name, some in ((QUERIES, queries), (DOCUMENTS, documents))}

    def _encode(self, texts: list[str], role: Role) -> list[Tensor]:
        vectors = self.scorer.encode_tokens(texts, role)
        if role == "query" and self.scorer.takes_the_mean:
            # The largest product grows with the vector, so that the sum becomes the mean.
            return [one / max(1, len(one)) for one in vectors]
        return vectors


@dataclass(frozen=True)
class TokenVectors:
    """Token vectors of texts, one after another on disk.

    Attributes:
        positions: (n,) ascending, of the texts.
        ends: (n,) where the vectors of each text end.
        vectors: (tokens, D').
    """

    positions: IntArray
    ends: IntArray
    vectors: FloatArray

    @classmethod
    def of(cls, encode: Callable[[list[str]], list[Tensor]], texts: Texts, positions: IntArray) -> TokenVectors:
        """Encodes the texts at these positions, some thousands at a time."""
        lengths = np.zeros(len(positions), dtype=np.int64)
        width = 1
        with (
            tempfile.TemporaryFile(prefix="st_mta-") as file,  # lives as long as it is mapped
            progress("Encoding the teacher's tokens", len(positions), "texts") as bar,
        ):
            for start in range(0, len(positions), TEXTS_AT_ONCE):
                block = slice(start, start + TEXTS_AT_ONCE)
                found = encode(texts.take(positions[block]))
                lengths[block] = [len(one) for one in found]
                for one in found:
                    if len(one):
                        width = one.shape[1]
                        file.write(one.float().cpu().numpy().tobytes())
                bar.update(len(found))
            file.flush()
            shape = int(lengths.sum()), width
            vectors = np.memmap(file, np.float32, "r", shape=shape) if shape[0] else np.zeros(shape, np.float32)
        return cls(positions, np.cumsum(lengths), vectors)

    def padded(self, positions: IntArray) -> Tensor:
        """(n, longest, D'), NaN behind a text's last token; at least one token wide."""
        places = np.searchsorted(self.positions, positions)
        ends = self.ends[places]
        starts = np.where(places, self.ends[places - 1], 0)
        longest = max(1, int((ends - starts).max(initial=0)))
        at = starts[:, None] + np.arange(longest)
        real = at < ends[:, None]
        rows = np.full((*real.shape, self.vectors.shape[1]), np.nan, dtype=np.float32)
        rows[real] = self.vectors[at[real]]
        return torch.from_numpy(rows)


def in_batch_teacher(teacher: Scorer, collection: Collection) -> BatchTeacher:
    """What a teacher of the right kind says of batches of a collection; embeddings are stored first."""
    queries, corpus = collection.queries, collection.corpus
    if isinstance(teacher, EmbeddingScorer):
        sides = teacher.embed(queries, "query", np.arange(len(queries)))
        return TeacherEmbeddings(sides, teacher.embed(corpus, "document", np.arange(len(corpus))))
    if isinstance(teacher, ViewScorer):
        queries, corpus, teacher = teacher.view.of_queries(queries), teacher.view.of_corpus(corpus), teacher.scorer
    assert isinstance(teacher, LateInteractionScorer)
    return TeacherTokens(teacher, queries, corpus)


def check_in_batch(arguments: MultiAssistantTrainingArguments, teacher: Scorer) -> None:
    """Raises ``InputError`` where whole batches are to be compared and the teacher or another option forbids it."""
    if arguments.candidates != IN_BATCH:
        return
    inside = teacher.scorer if isinstance(teacher, ViewScorer) else teacher
    if not isinstance(inside, (EmbeddingScorer, LateInteractionScorer)):
        raise InputError(
            expected=f"a bi-encoder or late-interaction model as the teacher for candidates={IN_BATCH!r}",
            got=f"{teacher.name!r} ({teacher.kind})",
            consequence="it would have to read every query of a batch with every passage of it, in every step",
            remedy="name such a model as the teacher (it may be trained by this one before), or leave candidates out",
        )
    if arguments.alpha not in (None, 1.0) or arguments.alpha_end not in (None, 1.0):
        raise InputError(
            expected=f"no alpha for candidates={IN_BATCH!r}",
            got=f"alpha={arguments.alpha}, alpha_end={arguments.alpha_end}",
            consequence="it would have no effect: over whole batches the teacher alone has scores",
            remedy="leave it out; assistants mine and are regressed to all the same",
        )
    if arguments.filter_false_negatives == SIMILARITY:
        raise InputError(
            expected=f"filter_false_negatives to be relative or absolute for candidates={IN_BATCH!r}",
            got=repr(SIMILARITY),
            consequence="the passages that a query's own list does not have would not be filtered",
            remedy="choose one of these, whose margins are in the teacher's scores",
        )
