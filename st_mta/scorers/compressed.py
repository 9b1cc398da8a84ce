"""Serving variants of bi-encoders: passages of another model, fewer dimensions, fewer bits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from sentence_transformers.util.quantization import quantize_embeddings

from st_mta.errors import InputError
from st_mta.scorers.embedding import BLOCK_SIZE, EmbeddingScorer
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.stores.searches import Search
from st_mta.types import FloatArray, IntArray, Texts

BYTES = {"float32": 4.0, "int8": 1.0, "binary": 1 / 8}  # precision of stored passages -> bytes per dimension
CALIBRATION_ROWS = 2**16
LEVELS = 255  # steps of int8 between the least and the greatest value of a dimension


NOTHING = Embeddings((), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


@dataclass(frozen=True)
class CompressedEmbeddings(Embeddings):
    """Embeddings as they come back from a compressed index: cut, quantised by the host and decoded again.

    Attributes:
        whole: The embeddings before the index.
        kept: Leading dimensions that are kept.
        precision: A key of ``BYTES``.
        normalise: Whether a cut vector is brought to length one again.
        ranges: (2, kept) least and greatest value of each dimension, for int8.
    """

    whole: Embeddings = NOTHING
    kept: int = 0
    precision: str = "float32"
    normalise: bool = True
    ranges: FloatArray | None = None

    @property
    def dimension(self) -> int:
        """Width after the cut."""
        return self.kept

    def at(self, places: IntArray) -> CompressedEmbeddings:
        """The embeddings at these places, still unread."""
        return replace(self, block_of=self.block_of[places], row_of=self.row_of[places], whole=self.whole.at(places))

    def rows(self, index: IntArray | slice) -> FloatArray:
        """(len(index), kept) float32, decoded."""
        return self._through(self.whole.rows(index))

    def sweep(self, size: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """As of ``Embeddings``, decoded."""
        for places, rows in self.whole.sweep(size):
            yield places, self._through(rows)

    def _through(self, rows: FloatArray) -> FloatArray:
        rows = truncated(rows, self.kept, self.normalise)
        if self.precision == "int8" and self.ranges is not None:
            codes = quantize_embeddings(rows, "int8", ranges=self.ranges)
            steps = (self.ranges[1] - self.ranges[0]) / LEVELS
            return np.asarray((codes.astype(np.float32) + (LEVELS + 1) // 2) * steps + self.ranges[0])
        if self.precision == "binary":
            bits = np.unpackbits(quantize_embeddings(rows, "ubinary"), axis=1, count=self.kept)
            return bits.astype(np.float32) * 2 - 1
        return rows


def truncated(rows: FloatArray, kept: int, normalise: bool) -> FloatArray:
    """The leading dimensions of each row, of length one again where asked for."""
    if kept == rows.shape[1]:
        return rows
    rows = rows[:, :kept]
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) if normalise else rows


def compress(embeddings: Embeddings, kept: int, precision: str, normalise: bool) -> CompressedEmbeddings:
    """Embeddings through a compressed index; int8 ranges are taken from the first rows.

    Raises:
        InputError: If the precision is unknown or more dimensions are to be kept than there are.
    """
    if precision not in BYTES or not 0 < kept <= embeddings.dimension:
        raise InputError(
            expected=f"a precision of {', '.join(BYTES)} and 1 to {embeddings.dimension} dimensions",
            got=f"{precision!r} and {kept}",
            remedy="choose among these",
        )
    places = embeddings.block_arrays, embeddings.block_of, embeddings.row_of
    cut = CompressedEmbeddings(*places, whole=embeddings, kept=kept, normalise=normalise)
    if precision == "int8":
        sample = cut.rows(slice(0, CALIBRATION_ROWS))
        cut = replace(cut, ranges=np.stack([sample.min(axis=0), sample.max(axis=0)]))
    return replace(cut, precision=precision)


class ServedScorer(EmbeddingScorer):
    """Queries encoded by one bi-encoder, passages by the same or another, held in a compressed index.

    Args:
        queries: Encodes the queries, kept in float32.
        passages: Encodes the passages; its space must be the queries' (see [`mean_cosine`]).
        kept: Leading dimensions that are kept, all by default.
        precision: Of the stored passages: "float32", "int8" or "binary".
    """

    backend, block_size = "exact", BLOCK_SIZE

    def __init__(
        self, queries: EmbeddingScorer, passages: EmbeddingScorer, kept: int | None = None, precision: str = "float32"
    ) -> None:
        self.queries, self.passages, self.precision = queries, passages, precision
        self.kept = kept or queries.dimension
        self.name = f"{queries.name}-{passages.name}-{self.kept}-{precision}"
        self.parameters, self.device = queries.parameters, queries.device

    @property
    def fingerprint(self) -> str:
        """Both models' fingerprints and the form of the index."""
        return f"{self.queries.fingerprint}-{self.passages.fingerprint}-{self.kept}-{self.precision}"

    @property
    def bytes_per_passage(self) -> float:
        """What the index holds for one passage."""
        return BYTES[self.precision] * self.kept

    @property
    def dimension(self) -> int:
        """D, the leading dimensions that are kept."""
        return self.kept

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) float32 embeddings before the index, by the model of this role."""
        rows = self._encoder(role).encode(texts, role)
        return truncated(rows, self.kept, self._encoder(role).similarity == "cosine")

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings as the index gives them back; that of passages holds all of them."""
        encoder = self._encoder(role)
        places = positions if role == "query" else np.arange(len(texts), dtype=np.int64)
        precision = "float32" if role == "query" else self.precision
        index = compress(encoder.embed(texts, role, places), self.kept, precision, encoder.similarity == "cosine")
        return index if role == "query" else index.at(positions)

    def _searched(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int, search: Search
    ) -> tuple[FloatArray, IntArray]:
        return search(np.arange(len(query_positions)), k)  # a trial of an index, measured once

    def _encoder(self, role: Role) -> EmbeddingScorer:
        return self.queries if role == "query" else self.passages


def mean_cosine(first: EmbeddingScorer, second: EmbeddingScorer, texts: Texts, positions: IntArray) -> float:
    """Mean cosine of two models' embeddings of the same passages: near 1 where their spaces are one."""
    a, b = (scorer.embed(texts, "document", positions).rows(slice(None)) for scorer in (first, second))
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float((np.einsum("pd,pd->p", a, b) / np.maximum(lengths, 1e-12)).mean())
