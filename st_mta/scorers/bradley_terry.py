"""Scores from preferences between pairs: the model of Bradley and Terry."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_expit

Floats = npt.NDArray[np.float64]

PRIOR = 0.01
"""Precision of the normal prior: scores have a standard deviation of 10 before anything is compared."""
STEPS, TOLERANCE = 100, 1e-10
"""Newton steps at most, of which some ten are usual; and the largest slope that counts as none."""


def bradley_terry(wins: Floats, prior: float = PRIOR) -> Floats:
    """The most likely scores, given how often each passage of a list beat each other one.

    P(i beats j) = sigmoid(s_i - s_j) (Bradley and Terry, Biometrika 1952). Maximises

        sum over i, j of w_ij * log sigmoid(s_i - s_j)  -  prior / 2 * sum over i of s_i^2

    by Newton's method with halved steps. Deviation from the maximum of the likelihood: the normal prior, without which
    a passage that was never beaten would be infinitely good, and passages that are linked by no comparisons would have
    no common scale. It makes the sum of each list's scores zero.

    Args:
        wins: (R, n, n) w_ij, how often i beat j in each of R lists; a probability p counts as p wins of i and 1 - p of
            j. Nothing on the diagonal counts.
        prior: Precision of the prior, positive.

    Returns:
        (R, n), finite.
    """
    lists, size = wins.shape[:2]
    games = wins + wins.transpose(0, 2, 1)
    scores = np.zeros((lists, size))
    for _ in range(STEPS):
        beaten = games * expit(scores[:, :, None] - scores[:, None, :])  # expected wins
        slope = (wins - beaten).sum(axis=2) - prior * scores
        steep = np.abs(slope).max(axis=1, initial=0) > TOLERANCE * (1 + games.sum(axis=(1, 2)))
        if not steep.any():
            break
        scores[steep] += _step(wins[steep], games[steep], scores[steep], slope[steep], prior)
    return scores


def _step(wins: Floats, games: Floats, scores: Floats, slope: Floats, prior: float) -> Floats:
    """(R, n) Newton steps, each halved until the objective does not fall."""
    margins = scores[:, :, None] - scores[:, None, :]
    weight = games * expit(margins) * expit(-margins)
    curvature = -weight
    diagonal = np.arange(scores.shape[1])
    curvature[:, diagonal, diagonal] = weight.sum(axis=2) + prior
    step = np.linalg.solve(curvature, slope[:, :, None])[:, :, 0]
    before = _objective(wins, scores, prior)
    for _ in range(STEPS):
        falls = _objective(wins, scores + step, prior) < before - 1e-12 * np.abs(before)
        if not falls.any():
            break
        step[falls] /= 2
    return np.asarray(step)


def _objective(wins: Floats, scores: Floats, prior: float) -> Floats:
    """(R,) what is maximised."""
    likelihood = (wins * log_expit(scores[:, :, None] - scores[:, None, :])).sum(axis=(1, 2))
    return np.asarray(likelihood - prior / 2 * np.square(scores).sum(axis=1))
