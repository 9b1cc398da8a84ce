"""Calibration: scorers that speak on different scales are brought to one spread before anything is fused."""

from __future__ import annotations

import math

import torch
from scipy.optimize import brentq
from torch import Tensor

from st_mta.assistants.fusion import masked_log_softmax
from st_mta.errors import InputError

_MOST_ROWS = 50_000
"""Rows beyond this many are skipped evenly: the mean entropy of 50,000 queries is known to three digits and more."""

_DECADES = 6.0
"""Temperatures are searched within this many powers of ten around the scores' own standard deviation."""


def fit_temperature(scores: Tensor, mask: Tensor, target_entropy: float) -> float:
    """The temperature at which a scorer's distributions are as spread out as wanted.

    Solves mean over queries of H(softmax(scores / T)) / log(n) = target_entropy for T, where n counts the query's
    valid candidates. The left side grows with T, so the root in log T is unique. Queries with fewer than two valid
    candidates, or whose valid scores are all equal (their entropy is 1 at every temperature), do not count; of more
    than 50,000 queries every k-th is used.

    Args:
        scores: (Q, N) raw scores.
        mask: (Q, N) bool, True for a valid candidate.
        target_entropy: Share of the greatest entropy, in (0, 1).

    Returns:
        T > 0, in the unit of the scores.

    Raises:
        InputError: If valid scores are not finite, are constant within every query, or are so often tied at the top
            that no temperature reaches the target.
    """
    if not 0 < target_entropy < 1:
        raise InputError(
            expected="target_entropy between 0 and 1, both excluded",
            got=repr(target_entropy),
            consequence="no temperature would reach it",
            remedy="use a value such as 0.5",
        )
    check_scores("the scorer to calibrate", scores, mask)
    rows, valid = _rows_with_spread(scores, mask)
    log_counts = valid.sum(dim=-1).double().log()

    def excess(log_temperature: float) -> float:
        log_probs = masked_log_softmax(rows / math.exp(log_temperature), valid)
        entropy = -torch.where(valid, log_probs.exp() * log_probs, 0.0).sum(dim=-1)
        return float((entropy / log_counts).mean()) - target_entropy

    centre = 0.5 * math.log(_within_row_variance(rows, valid))
    low, high = centre - _DECADES * math.log(10), centre + _DECADES * math.log(10)
    if excess(low) >= 0:
        raise InputError(
            expected=f"scores that can be sharpened to {target_entropy} of the greatest entropy",
            got=f"scores tied at the top so often that {excess(low) + target_entropy:.3f} is the least",
            consequence="no temperature would give the spread asked for",
            remedy="raise target_entropy, or leave this scorer out",
        )
    return math.exp(brentq(excess, low, high, xtol=1e-9))


def _rows_with_spread(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """The rows (float64) in which a temperature changes something, and their mask."""
    step = math.ceil(len(scores) / _MOST_ROWS) or 1
    rows, valid = scores[::step].double(), mask[::step]
    highest = rows.masked_fill(~valid, -torch.inf).amax(dim=-1)
    lowest = rows.masked_fill(~valid, torch.inf).amin(dim=-1)
    varied = highest > lowest
    if not bool(varied.any()):
        raise InputError(
            expected="scores that differ within a query",
            got=f"{len(rows)} queries whose scores are constant",
            consequence="this scorer would teach that all candidates are alike",
            remedy="check the scorer, or leave it out",
        )
    return rows[varied], valid[varied]


def _within_row_variance(rows: Tensor, mask: Tensor) -> float:
    """Mean over rows of the variance of the valid scores; positive, because every row has spread."""
    filled = rows.masked_fill(~mask, torch.nan)
    return float((filled - filled.nanmean(dim=-1, keepdim=True)).square().nanmean())


def looks_like_sigmoid(scores: Tensor) -> bool:
    """Whether scores seem to be probabilities squeezed through a sigmoid instead of raw logits.

    The rule: every score lies in [0, 1], and at least 30% lie within .05 of an end without being exactly 0. A
    cross-encoder's logits span ten units and more, so its sigmoid saturates; cosine similarities of a bi-encoder stay
    between about .1 and .9; exact zeros are what a term-matching scorer gives.

    Args:
        scores: (P,) scores; entries that are not finite are ignored.
    """
    scores = scores[scores.isfinite()]
    if scores.numel() == 0 or bool(((scores < 0) | (scores > 1)).any()):
        return False
    saturated = ((scores > 0) & (scores <= 0.05)) | (scores >= 0.95)
    return float(saturated.double().mean()) >= 0.3


def check_scores(name: str, scores: Tensor, mask: Tensor | None = None) -> None:
    """Refuses scores that are not numbers.

    Args:
        name: The scorer's name, for the message.
        scores: Scores of any shape.
        mask: Bool of the same shape, True where a score is expected; default everywhere.

    Raises:
        InputError: With the number of NaN or infinite scores and the place of the first.
    """
    expected = torch.ones_like(scores, dtype=torch.bool) if mask is None else mask
    bad = ~scores.isfinite() & expected
    count = int(bad.sum())
    if count == 0:
        return
    first = tuple(bad.nonzero()[0].tolist())
    raise InputError(
        expected=f"finite scores from {name}",
        got=f"{count} of {int(expected.sum())} NaN or infinite, the first is {scores[first].item()} at {first}",
        consequence="the loss and every gradient would become NaN",
        remedy="score these pairs again in float32, or mask them",
    )
