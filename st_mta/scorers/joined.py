"""Several bi-encoders as one, and bi-encoders in the space of another, for students to be regressed to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import numpy as np

from st_mta.errors import InputError
from st_mta.procrustes import side_by_side, unit
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.stores.fingerprints import fingerprint_values
from st_mta.types import FloatArray, IntArray, Texts


@dataclass(frozen=True)
class JoinedEmbeddings(Embeddings):
    """The same texts' embeddings by several models, side by side, and through a map; nothing is stored twice.

    Attributes:
        parts: The embeddings of each model.
        weights: Of the models, see [`st_mta.procrustes.side_by_side`]; None leaves the only model's rows as they are.
        matrix: (sum of the widths, D) applied to the rows beside each other, or None.
    """

    parts: tuple[Embeddings, ...] = ()
    weights: tuple[float, ...] | None = None
    matrix: FloatArray | None = None

    @classmethod
    def of(
        cls, parts: Sequence[Embeddings], weights: Sequence[float] | None, matrix: FloatArray | None
    ) -> JoinedEmbeddings:
        """Of parts that are equally long."""
        first = parts[0]
        return cls(
            first.block_arrays,
            first.block_of,
            first.row_of,
            tuple(parts),
            None if weights is None else tuple(weights),
            matrix,
        )

    @property
    def dimension(self) -> int:
        """D, after the map."""
        return sum(part.dimension for part in self.parts) if self.matrix is None else self.matrix.shape[1]

    def at(self, places: IntArray) -> JoinedEmbeddings:
        """The embeddings at these places, still unread."""
        return replace(
            self,
            block_of=self.block_of[places],
            row_of=self.row_of[places],
            parts=tuple(part.at(places) for part in self.parts),
        )

    def rows(self, index: IntArray | slice) -> FloatArray:
        """(len(index), D) float32, computed."""
        return join([part.rows(index) for part in self.parts], self.weights, self.matrix)

    def sweep(self, size: int) -> Iterator[tuple[IntArray, FloatArray]]:
        """All rows, at most ``size`` at a time, in the order in which the first part is stored."""
        order = np.lexsort((self.row_of, self.block_of))
        for start in range(0, len(order), size):
            places = order[start : start + size]
            yield places, self.rows(places)

    def forget(self) -> None:
        """Gives back the memory of what was read of mapped blocks."""
        for part in self.parts:
            part.forget()


def join(rows: Sequence[FloatArray], weights: Sequence[float] | None, matrix: FloatArray | None) -> FloatArray:
    """Rows (n, D_k) of several models side by side, or the rows of the only one as they are, through the map.

    A map to fewer dimensions shortens rows: they get back the length they had.
    """
    joined = rows[0] if weights is None else side_by_side(rows, weights)
    if matrix is None:
        return joined
    mapped: FloatArray = unit(joined @ matrix) * np.linalg.norm(joined, axis=1, keepdims=True)
    return mapped


class JoinedScorer(EmbeddingScorer):
    """Bi-encoders side by side, so that the inner product is the weighted sum of their cosines, and through a map.

    The parts keep their own embeddings in their stores; nothing is encoded or stored a second time.

    Args:
        parts: The bi-encoders.
        weights: A positive weight for each, brought to the sum 1: a part's share of the similarity. None for a single
            part whose rows are to keep their lengths.
        matrix: (sum of the widths, D) map, such as [`st_mta.procrustes.fit_procrustes`] gives; None for none.
        name: Short unique name for reports.

    Raises:
        InputError: If there are no parts, or weights or map do not fit them.
    """

    def __init__(
        self,
        parts: Sequence[EmbeddingScorer],
        weights: Sequence[float] | None = None,
        matrix: FloatArray | None = None,
        name: str | None = None,
    ) -> None:
        self.parts, self.matrix = list(parts), matrix
        self.weights = None if weights is None else [float(weight) for weight in weights]
        self._check()
        self._map = None if matrix is None else [*matrix.shape, blake2b(matrix.tobytes(), digest_size=16).hexdigest()]
        super().__init__(name or "+".join(part.name for part in self.parts), self.parts[0].store)
        self.device = self.parts[0].device
        self.similarity = "cosine" if self.weights is not None else self.parts[0].similarity
        self.parameters = sum(part.parameters for part in self.parts)

    @property
    def fingerprint(self) -> str:
        """Digest of the parts' fingerprints and weights, and of the map."""
        parts = [part.fingerprint for part in self.parts]
        return fingerprint_values("joined", parts, self.weights, self._map)

    @property
    def dimension(self) -> int:
        """D, after the map."""
        return sum(part.dimension for part in self.parts) if self.matrix is None else self.matrix.shape[1]

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) float32 embeddings, computed now."""
        return join([part.encode(texts, role) for part in self.parts], self.weights, self.matrix)

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings of these texts; those that a part's store does not hold are encoded first."""
        self.store.describe(self.fingerprint, self.name, self.kind)
        return JoinedEmbeddings.of(
            [part.embed(texts, role, positions) for part in self.parts], self.weights, self.matrix
        )

    def _check(self) -> None:
        fits = len(self.parts) == 1 if self.weights is None else len(self.weights) == len(self.parts) > 0
        if not fits or not all(0 < weight < np.inf for weight in self.weights or ()):
            raise InputError(
                expected="one or more bi-encoders and a positive weight for each",
                got=f"{[part.name for part in self.parts]} with {self.weights}",
                remedy="leave out bi-encoders of weight 0",
            )
        width = sum(part.dimension for part in self.parts)
        if self.matrix is not None and self.matrix.shape[0] != width:
            raise InputError(
                expected=f"a map from the {width} dimensions of {[part.name for part in self.parts]}",
                got=f"one of the shape {self.matrix.shape}",
                remedy="fit it on embeddings of the same bi-encoders",
            )
