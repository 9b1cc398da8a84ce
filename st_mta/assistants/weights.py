"""Weights: how much each scorer should count, fitted on judged queries.

Letters: Q queries, A assistants, S scorers, N candidates. Everywhere ``positive`` is (Q, N) bool, True for a relevant
candidate, and ``mask`` (Q, N) bool, True for a valid one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from st_mta.assistants.calibration import check_scores
from st_mta.distributions import centre, masked_log_softmax
from st_mta.errors import InputError

Doubles = npt.NDArray[np.float64]

_LEAST_SHARE = 1e-12
"""Of a query's best assistant. At the optimum every query's mixture has at least 1 / Q of it: nothing changes."""


def fit_weights(log_probs: Tensor, positive: Tensor, mask: Tensor) -> list[float]:
    """The mixture of distributions that puts most mass on what was judged relevant.

    Maximises the mean over queries of log sum over a of w_a * p_a(positives), w on the simplex, where p_a(positives)
    is an assistant's mass on the query's positives. The objective is concave; queries without a valid positive or
    without a valid negative say nothing and do not count. Of assistants that are the same, all get the same weight.

    Args:
        log_probs: (Q, A, N) calibrated log-probabilities.

    Returns:
        A weights, non-negative and summing to one.

    Raises:
        InputError: If no query counts.
    """
    counted = _judged(positive, mask)
    relevant = (positive & mask)[counted]
    mass = log_probs[counted].double().masked_fill(~relevant[:, None], -torch.inf).logsumexp(dim=-1)
    mass = mass[mass.isfinite().any(dim=-1)]  # where every assistant rules the positives out, no weight helps
    equal = np.full(log_probs.shape[1], 1 / max(1, log_probs.shape[1]))
    if mass.numel() == 0:
        return list(equal.tolist())
    shares = (mass - mass.amax(dim=-1, keepdim=True)).exp().clamp(min=_LEAST_SHARE).cpu().numpy()

    # Adding sum(w) takes the place of the constraint: the minimum over w >= 0 then sums to one by itself.
    def cost(weights: Doubles) -> tuple[float, Doubles]:
        mixture = shares @ weights
        value = float(weights.sum() - np.log(mixture).mean())
        return value, 1 - (shares / mixture[:, None]).mean(axis=0)

    weights = _minimise(cost, equal)
    return list((weights / weights.sum()).tolist())


def fit_log_linear(scores: Tensor, positive: Tensor, mask: Tensor, l2: float = 1e-3) -> list[float]:
    """The weighted sum of scores whose softmax puts most mass on what was judged relevant.

    Maximises the mean over queries of log softmax(sum over s of w_s * z_s)(positives) - l2 * |w|^2 / 2 over w >= 0;
    concave where every query has one positive. Queries without a valid positive or without a valid negative do not
    count.

    Args:
        scores: (Q, S, N) calibrated scores; masked ones may be NaN.
        l2: Weight of the penalty, positive: without one, scorers that are always right would weigh without limit.

    Returns:
        S non-negative weights, in the unit 1 / score.

    Raises:
        InputError: If no query counts, or valid scores are not finite.
    """
    check_scores("the scorers to combine", scores, mask[:, None].expand_as(scores))
    counted = _judged(positive, mask)
    logits, valid = centre(scores[counted].double(), mask[counted, None]), mask[counted]
    relevant = positive[counted] & valid

    def cost(weights: Doubles) -> tuple[float, Doubles]:
        pooled = torch.einsum("qsn,s->qn", logits, torch.from_numpy(weights).to(logits))
        every, right = masked_log_softmax(pooled, valid), masked_log_softmax(pooled, relevant)
        value = every.masked_fill(~relevant, -torch.inf).logsumexp(dim=-1).mean()
        gradient = torch.einsum("qsn,qn->s", logits, every.exp() - right.exp()) / len(logits)
        return l2 / 2 * float(weights @ weights) - float(value), l2 * weights + gradient.cpu().numpy()

    size = logits.shape[1]
    return list(_minimise(cost, np.full(size, 1 / max(1, size))).tolist())


def _judged(positive: Tensor, mask: Tensor) -> Tensor:
    """(Q,) bool: queries with a valid positive and a valid negative."""
    counted = (positive & mask).any(dim=-1) & (~positive & mask).any(dim=-1)
    if bool(counted.any()):
        return counted
    raise InputError(
        expected="queries with a relevant and another candidate",
        got=f"none among {len(mask)}",
        remedy="judge some queries of the development split, give longer lists, or use fusion='mean'",
    )


def _minimise(cost: Callable[[Doubles], tuple[float, Doubles]], start: Doubles) -> Doubles:
    """Over weights of zero and more; ``cost`` gives value and gradient."""
    found = minimize(
        cost,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[(0, None)] * len(start),
        options={"gtol": 1e-10, "ftol": 0.0, "maxiter": 10_000, "maxfun": 100_000},
    )
    return np.asarray(found.x, dtype=np.float64)
