"""Temperature: how much one scorer's distributions are spread out."""

from __future__ import annotations

import math

from scipy.optimize import brentq
from torch import Tensor

from st_mta.assistants.raw_scores import check_scores, queries_with_spread
from st_mta.distributions import centre, masked_entropy, masked_log_softmax
from st_mta.errors import InputError

_MOST_ROWS = 50_000
"""Rows beyond this many are skipped evenly: the mean entropy of 50,000 queries is known to three digits and more."""

_DECADES = 6.0
"""Temperatures are searched within this many powers of ten around the scores' own standard deviation."""


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
        raise InputError(
            expected="target_entropy between 0 and 1, both excluded",
            got=repr(target_entropy),
            consequence="no temperature would reach it",
            remedy="use a value such as 0.5",
        )
    check_scores(name, scores, mask)
    rows, valid = _rows_with_spread(scores, mask, name)
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
            consequence="no temperature would give the spread asked for",
            remedy="raise target_entropy, or leave this scorer out",
        )
    return math.exp(brentq(excess, low, high, xtol=1e-9))


def _rows_with_spread(scores: Tensor, mask: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """The rows (float64) in which a temperature changes something, and their mask."""
    step = math.ceil(len(scores) / _MOST_ROWS) or 1
    rows, valid = scores[::step].double(), mask[::step]
    varied = queries_with_spread(name, rows, valid)
    return rows[varied], valid[varied]
