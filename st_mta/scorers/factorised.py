"""All scores of a query from those of a few anchor passages: the matrix factorisation behind [`AnnCur`]."""

from __future__ import annotations

import numpy as np

from st_mta.types import FloatArray, IntArray

CUT = 1e-4
"""Singular values below this share of the largest are noise of single precision, and count as zero."""


def approximated(known: FloatArray, anchors: IntArray, rows: FloatArray) -> FloatArray:
    """Every passage's score for some queries, from the scores of their anchors.

    S = C U R with U the pseudo-inverse of R's columns at the anchors (ANNCUR, Yadav et al., EMNLP 2022,
    arXiv 2210.12579, section 3): a query is the combination of anchor queries, of those that fit its anchors best the
    smallest, and its other scores are the same combination of theirs. Exact where S has the rank of what was
    scored. Deviations: small singular values are cut, and the anchors' own scores, which are known, take the place of
    what is approximated there.

    Args:
        known: (Q, K) C, the queries' scores of their anchors.
        anchors: (K,) positions of anchors that the queries share, or (Q, K) of each one's own (ADACUR).
        rows: (M, n) R, the anchor queries' scores of all n passages.

    Returns:
        (Q, n) float32.
    """
    columns = rows[:, anchors]  # (M, K), or (M, Q, K)
    if anchors.ndim == 1:
        weights = known @ np.linalg.pinv(columns, rcond=CUT)
    else:
        inverse = np.linalg.pinv(columns.transpose(1, 0, 2), rcond=CUT)  # (Q, K, M)
        weights = np.matmul(known[:, None], inverse)[:, 0]
    scores: FloatArray = (weights @ rows).astype(np.float32, copy=False)
    np.put_along_axis(scores, np.broadcast_to(anchors, known.shape), known, axis=1)
    return scores


def best_of(scores: FloatArray, k: int) -> IntArray:
    """(Q, min(k, n)) columns of the highest of (Q, n) scores, best first; of equal ones the lower column."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]
