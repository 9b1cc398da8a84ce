"""The bi-encoders whose embeddings are the targets: each text is encoded once per role, several are fused."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa

from st_mta.errors import InputError
from st_mta.losses.similarity import check_range
from st_mta.procrustes import side_by_side
from st_mta.stores import Store, fingerprint_model
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.types import FloatArray, IntArray, Texts

BLOCK_SIZE = 2**12  # texts encoded between two writes to the store, the most that a kill can lose

Teacher = Any
"""A ``SentenceTransformer`` or what else has ``encode_query`` and ``encode_document``; a scorer by embeddings, which
has ``embed``; or a function ``(texts, role) -> (n, D)`` with an attribute ``fingerprint``."""


@runtime_checkable
class Embedder(Protocol):
    """What keeps its embeddings in a store of its own, as ``BiEncoderScorer`` does."""

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings of the texts at these positions."""


class Teachers:
    """One or several teachers as one, whose embeddings are theirs side by side.

    Each one's embeddings get length 1 and the square root of its weight, so that inner products of the fused ones are
    the weighted means of the teachers' cosines.

    Args:
        teachers: One or several, see ``Teacher``.
        weights: One per teacher, not negative; made to add up to 1. Default: all alike.
        store: Where the embeddings of teachers without a store of their own are kept. Default: a temporary folder, as
            long as this object lives.

    Raises:
        InputError: If there is none, one cannot embed, or weights do not fit.
    """

    def __init__(self, teachers: Sequence[Teacher], weights: Sequence[float] | None, store: Store | None) -> None:
        self.teachers = list(teachers)
        self.weights = _shares(len(self.teachers), weights)
        self.kept = store is not None
        self._temporary = tempfile.TemporaryDirectory(prefix="st_mta-") if store is None else None
        self.store = store if store is not None else Store(self._temporary.name)  # type: ignore[union-attr]
        self._encoders = [_encoder(teacher) for teacher in self.teachers]
        self._fingerprints: dict[int, str] = {}

    @property
    def names(self) -> list[str]:
        """What the teachers are called, for the model card."""
        return [_name(teacher) for teacher in self.teachers]

    def embed(self, texts: Texts, role: Role) -> list[Embeddings]:
        """Each teacher's embeddings of all texts of the table, memory-mapped."""
        positions = np.arange(len(texts), dtype=np.int64)
        return [self._embed(number, texts, role, positions) for number in range(len(self.teachers))]

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) fused embeddings of a few texts: through the store where one was given, otherwise computed now."""
        if self.kept:
            return self.fuse([rows.rows(slice(None)) for rows in self.embed(table_of(texts), role)])
        return self.fuse([self._compute(number, texts, role) for number in range(len(self.teachers))])

    def fuse(self, embeddings: Sequence[FloatArray]) -> FloatArray:
        """(n, D_1), (n, D_2), ... -> (n, D_1 + D_2 + ...) of length 1."""
        return side_by_side(embeddings, self.weights)

    def _embed(self, number: int, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        teacher, encode = self.teachers[number], self._encoders[number]
        if encode is None:
            found: Embeddings = teacher.embed(texts, role, positions)
            return found
        fingerprint = self._fingerprint(number)
        return self.store.embeddings.get(fingerprint, role, texts, positions, partial(encode, role=role), BLOCK_SIZE)

    def _compute(self, number: int, texts: list[str], role: Role) -> FloatArray:
        encode = self._encoders[number]
        if encode is not None:
            return np.asarray(encode(texts, role), dtype=np.float32)
        positions = np.arange(len(texts), dtype=np.int64)
        return self._embed(number, table_of(texts), role, positions).rows(slice(None))

    def _fingerprint(self, number: int) -> str:
        if number not in self._fingerprints:
            teacher = self.teachers[number]
            self._fingerprints[number] = fingerprint = _fingerprint(teacher)
            self.store.describe(fingerprint, _name(teacher), "bi-encoder")
        return self._fingerprints[number]


def table_of(texts: Iterable[str] | pa.ChunkedArray) -> Texts:
    """Texts under their numbers as ids."""
    column = texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([pa.array(texts, pa.large_string())])
    return Texts(pa.chunked_array([pa.array(np.arange(len(column))).cast(pa.large_string())]), column)


def _encoder(teacher: Teacher) -> Callable[..., FloatArray] | None:
    """``(texts, role) -> (n, D)``, or None for a teacher that has a store."""
    if isinstance(teacher, Embedder):
        return None
    if hasattr(teacher, "encode_query") and hasattr(teacher, "encode_document"):
        return partial(encode_in, teacher)
    if callable(teacher) and hasattr(teacher, "fingerprint"):
        return teacher  # type: ignore[no-any-return]
    raise InputError(
        expected="a teacher with encode_query and encode_document, such as a SentenceTransformer, or with embed, such "
        "as a BiEncoderScorer",
        got=f"a {type(teacher).__name__}",
        remedy="give a bi-encoder; for a function (texts, role) -> (n, D) set its attribute `fingerprint` to a word "
        "that changes with what it computes",
    )


def encode_in(model: Any, texts: list[str], role: Role) -> FloatArray:
    """(n, D) the embeddings that a model of the host gives texts in this role, by its prompts."""
    encode = model.encode_query if role == "query" else model.encode_document
    return np.asarray(encode(texts, show_progress_bar=False), dtype=np.float32)


def _fingerprint(teacher: Teacher) -> str:
    stated = getattr(teacher, "fingerprint", None)
    return str(stated) if stated is not None else fingerprint_model(teacher)


def _name(teacher: Teacher) -> str:
    card = getattr(teacher, "model_card_data", None)
    return str(getattr(card, "base_model", None) or getattr(teacher, "name", None) or type(teacher).__name__)


def _shares(count: int, weights: Sequence[float] | None) -> list[float]:
    weights = [1.0] * count if weights is None else [float(weight) for weight in weights]
    if not count or len(weights) != count:
        raise InputError(
            expected="at least one teacher, and one weight for each",
            got=f"{count} teachers and {len(weights)} weights",
            remedy="leave the weights out for equal ones",
        )
    total = sum(weights)
    check_range("the weights of the teachers", total, min(weights) >= 0 < total < float("inf"), "not negative")
    return [weight / total for weight in weights]
