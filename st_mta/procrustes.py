"""A linear map from the space of one or several embedding models to another, fitted from pairs of embeddings."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from st_mta.errors import InputError
from st_mta.types import FloatArray

logger = logging.getLogger(__name__)

SHORTEST = 1e-12  # a zero vector stays one
Matrix = npt.NDArray[np.float64]


@dataclass
class Moments:
    """Sums over pairs of embeddings of the same texts, from which the map is fitted; blocks are added as they come.

    Attributes:
        source: (D, D) sum of outer products of the embeddings to map.
        cross: (D, d) sum of outer products of those and the embeddings of the space to map to.
        count: Pairs so far.
    """

    source: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    cross: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    count: int = 0

    def add(self, source: FloatArray, target: FloatArray) -> None:
        """Adds the embeddings (n, D) and (n, d) of the same n texts."""
        source, target = np.asarray(source, dtype=np.float64), np.asarray(target, dtype=np.float64)
        if not self.count:
            self.source = np.zeros((source.shape[1],) * 2)
            self.cross = np.zeros((source.shape[1], target.shape[1]))
        self.source += source.T @ source
        self.cross += source.T @ target
        self.count += len(source)

    def of(self, dimensions: slice) -> Moments:
        """Those of a part of the source's dimensions."""
        return Moments(self.source[dimensions, dimensions], self.cross[dimensions], self.count)

    def procrustes(self) -> FloatArray:
        """The map M (D, d): rows of the source times M lie as near to the target's as they can without distortion.

        The source's d principal directions (uncentred, so that inner products are kept as well as d dimensions can),
        then the orthogonal Procrustes rotation to the target (Schoenemann, Psychometrika 1966, Eq. 2.7): with
        V the leading eigenvectors of X'X and U S W' the singular value decomposition of V'X'Y, M = V U W'. Where
        D <= d nothing is cut. The columns of M (its rows where D < d) are orthonormal, so that M' leads back.

        Returns:
            (D, d) float32.

        Raises:
            InputError: If there are no pairs, or numbers among them that are not finite.
        """
        if not self.count or not (np.isfinite(self.source).all() and np.isfinite(self.cross).all()):
            raise InputError(
                expected="finite embeddings of some texts in both spaces",
                got="none" if not self.count else "numbers that are not finite",
                remedy="fit the map on at least as many texts as the smaller space has dimensions",
            )
        width = min(self.cross.shape)
        if self.count < width:
            logger.warning(
                "A map to %d dimensions is fitted on %d texts, and directions that these do not show are chosen at "
                "random. Give at least as many texts as dimensions, better some thousand.",
                width,
                self.count,
            )
        directions = np.linalg.eigh(self.source)[1][:, ::-1][:, :width]
        left, _, right = np.linalg.svd(directions.T @ self.cross, full_matrices=False)
        matrix: FloatArray = (directions @ left @ right).astype(np.float32)
        return matrix


def fit_procrustes(source: FloatArray, target: FloatArray) -> FloatArray:
    """The map (D, d) from embeddings (n, D) to embeddings (n, d) of the same texts; see [`Moments.procrustes`]."""
    moments = Moments()
    moments.add(source, target)
    return moments.procrustes()


def share_explained(moments: Moments, matrix: FloatArray) -> float:
    """The share of the source's squared length that is left after the map, in [0, 1]; 1 where nothing was cut."""
    mapped = np.asarray(matrix, dtype=np.float64)
    total = np.trace(moments.source)
    return float(np.trace(mapped.T @ moments.source @ mapped) / total) if total else 1.0


def unit(rows: FloatArray) -> FloatArray:
    """(n, D) rows of length 1, in float32."""
    made: FloatArray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), SHORTEST)
    return made.astype(np.float32, copy=False)


def side_by_side(parts: Sequence[FloatArray], weights: Sequence[float]) -> FloatArray:
    """Several models' embeddings of the same texts as one, whose inner products are weighted means of their cosines.

    Each model's rows get length 1 and the square root of its share of the weights; together they have length 1.

    Args:
        parts: (n, D_1), (n, D_2), ...
        weights: One per part, not negative.

    Returns:
        (n, D_1 + D_2 + ...) float32.
    """
    shares = np.sqrt(np.asarray(weights, dtype=np.float64) / sum(weights)).astype(np.float32)
    return np.concatenate([share * unit(rows) for share, rows in zip(shares, parts)], axis=1)
