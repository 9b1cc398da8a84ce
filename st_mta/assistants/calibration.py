"""Calibration: scorers with different scales are brought to one scale before anything is fused."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from scipy.optimize import brentq
from torch import Tensor

from st_mta.distributions import centre, masked_entropy, masked_log_softmax, standardise
from st_mta.errors import InputError
from st_mta.lookup import check_choice

CALIBRATIONS = ("temperature", "zscore", "affine")
"""Every calibration by the word users write."""

_MOST_ROWS = 50_000
"""Rows beyond this many are skipped evenly: the mean entropy of 50,000 queries is known to three digits and more."""

_DECADES = 6.0
"""Temperatures are searched within this many powers of ten around the scores' own standard deviation."""


def fit_temperatures(
    scores: Tensor,
    mask: Tensor,
    calibration: str = "temperature",
    target_entropy: float = 0.5,
    names: Sequence[str] | None = None,
) -> list[float]:
    """One temperature per scorer; `calibrate` applies them.

    Args:
        scores: (Q, S, N) raw scores, scorer 0 is the teacher; masked ones may be NaN.
        mask: (Q, N) bool, True for a valid candidate.
        calibration: "temperature": every scorer's distributions get the target entropy. "zscore": the same, after
            every query's scores are standardised, so that each query has the same spread. "affine": the teacher gets
            the target entropy and every assistant the line that predicts the teacher's logits best, which leaves an
            assistant that knows little nearly flat.
        target_entropy: Share of the greatest entropy, in (0, 1).
        names: S names, the teacher's first, for messages.

    Returns:
        S positive temperatures, in the unit of the scores ("zscore": in standard deviations).

    Raises:
        InputError: For an unknown calibration, scores that are not finite or constant within every query, a target
            out of reach, or ("affine") an assistant whose scores fall where the teacher's rise.
    """
    check_choice("calibration", calibration, CALIBRATIONS)
    names = names or ["the teacher", *(f"assistant {number}" for number in range(1, scores.shape[1]))]
    scorers = list(scores.unbind(dim=1))
    for name, one in zip(names, scorers, strict=True):
        check_scores(name, one, mask)
    if calibration == "zscore":
        scorers = [standardise(one.double(), mask) for one in scorers]
    if calibration != "affine":
        return [fit_temperature(one, mask, target_entropy, name) for name, one in zip(names, scorers)]
    teacher = fit_temperature(scorers[0], mask, target_entropy, names[0])
    logits = scorers[0].double() / teacher
    return [teacher, *(_fit_affine(one, logits, mask, name) for name, one in zip(names[1:], scorers[1:]))]


def calibrate(
    scores: Tensor, mask: Tensor, temperatures: Sequence[float] | Tensor, calibration: str = "temperature"
) -> Tensor:
    """Scores on the scale that the temperatures were fitted for.

    Args:
        scores: (Q, S, N) raw scores; masked ones may be NaN.
        mask: (Q, N) bool, True for a valid candidate.
        temperatures: S positive numbers; a tensor on the scores' device need not be copied there.
        calibration: With which `fit_temperatures` found them.

    Returns:
        (Q, S, N), float32 or wider.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if calibration == "zscore":
        scores = standardise(scores, mask[:, None])
    return scores / torch.as_tensor(temperatures, dtype=scores.dtype, device=scores.device)[:, None]


def fit_temperature(
    scores: Tensor, mask: Tensor, target_entropy: float, name: str = "the scorer to calibrate"
) -> float:
    """The temperature at which a scorer's distributions are as spread out as wanted.

    Solves mean over queries of H(softmax(scores / T)) / log(n) = target_entropy for T, where n counts the query's
    valid candidates. The left side grows with T, so the root in log T is unique. Queries with fewer than two valid
    candidates, or whose valid scores are all equal (their entropy is 1 at every temperature), do not count; of more
    than 50,000 queries every k-th is used.

    Args:
        scores: (Q, N) raw scores.
        mask: (Q, N) bool, True for a valid candidate.
        target_entropy: Share of the greatest entropy, in (0, 1).
        name: The scorer's name, for messages.

    Returns:
        T > 0, in the unit of the scores.

    Raises:
        InputError: If valid scores are not finite, are constant within every query, or are so often tied at the top
            that no temperature reaches the target.
    """
    if not 0 < target_entropy < 1:
        expected, remedy = "target_entropy between 0 and 1, both excluded", "use a value such as 0.5"
        raise InputError(expected=expected, got=repr(target_entropy), remedy=remedy)
    check_scores(name, scores, mask)
    step = math.ceil(len(scores) / _MOST_ROWS) or 1
    scores, mask = scores[::step].double(), mask[::step]
    varied = _queries_with_spread(name, scores, mask)
    rows, valid = scores[varied], mask[varied]
    log_counts = valid.sum(dim=-1).double().log()

    def excess(log_temperature: float) -> float:
        entropy = masked_entropy(masked_log_softmax(rows / math.exp(log_temperature), valid), valid)
        return float((entropy / log_counts).mean()) - target_entropy

    spread = 0.5 * math.log(float(centre(rows, valid)[valid].square().mean()))
    low, high = spread - _DECADES * math.log(10), spread + _DECADES * math.log(10)
    if excess(low) >= 0:
        raise InputError(
            expected=f"scores of {name} that can be sharpened to {target_entropy} of the greatest entropy",
            got=f"scores tied at the top so often that {excess(low) + target_entropy:.3f} is the least",
            remedy="raise target_entropy, or leave this scorer out",
        )
    return math.exp(brentq(excess, low, high, xtol=1e-9))


def _fit_affine(scores: Tensor, teacher_logits: Tensor, mask: Tensor, name: str) -> float:
    """The temperature 1 / a of the least-squares fit teacher_logits = a * scores + b_q, with an own b_q per query.

    The intercepts take up each query's means, so a is the sum of the within-query covariances over that of the
    variances; the softmax forgets the intercepts.
    """
    varied = _queries_with_spread(name, scores, mask)
    own, theirs = (centre(values[varied].double(), mask[varied]) for values in (scores, teacher_logits))
    slope = float((own * theirs).sum() / own.square().sum())
    if slope > 0:
        return 1 / slope
    raise InputError(
        expected=f"scores of {name} that rise with the teacher's",
        got=f"a slope of {slope:.3g} teacher logits per unit of score",
        consequence="the assistant would be inverted or become infinitely flat",
        remedy="leave this assistant out, or use calibration='temperature' or 'zscore'",
    )


def check_scores(name: str, scores: Tensor, mask: Tensor) -> None:
    """Raises ``InputError`` if scores of any shape are NaN or infinite where the mask, of the same shape, is True."""
    bad = ~scores.isfinite() & mask
    if not bool(bad.any()):
        return
    first = tuple(bad.nonzero()[0].tolist())
    raise InputError(
        expected=f"finite scores from {name}",
        got=f"{int(bad.sum())} of {int(mask.sum())} NaN or infinite, the first is {scores[first].item()} at {first}",
        remedy="score these pairs again in float32, or mask them",
    )


def check_shape(what: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """Raises ``InputError`` unless the tensor has the shape; ``what`` it is, for the message."""
    if isinstance(tensor, Tensor) and tuple(tensor.shape) == tuple(shape):
        return
    raise InputError(
        expected=f"{what} to have the shape {tuple(shape)}",
        got=str(tuple(tensor.shape)) if isinstance(tensor, Tensor) else f"a {type(tensor).__name__}",
        remedy="give the teacher and every assistant one row each, in pool order, and every candidate one column",
    )


def _queries_with_spread(name: str, scores: Tensor, mask: Tensor) -> Tensor:
    """(Q,) bool: whether a query's valid scores, of (Q, N), differ."""
    highest = scores.masked_fill(~mask, -torch.inf).amax(dim=-1)
    varied = highest > scores.masked_fill(~mask, torch.inf).amin(dim=-1)
    if bool(varied.any()):
        return varied
    raise InputError(
        expected=f"scores of {name} that differ within a query",
        got=f"{len(scores)} queries whose scores are constant",
        remedy="check the scorer, or leave it out",
    )
