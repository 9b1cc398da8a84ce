"""Calibration: scorers that speak on different scales are brought to one scale before anything is fused."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from st_mta.assistants.raw_scores import check_scores, queries_with_spread
from st_mta.assistants.temperature import fit_temperature
from st_mta.distributions import centre, standardise
from st_mta.errors import InputError
from st_mta.lookup import check_choice

CALIBRATIONS = ("temperature", "zscore", "affine")
"""Every calibration by the word users write."""


def check_calibration(calibration: str) -> None:
    """Raises ``InputError`` unless ``calibration`` is one of ``CALIBRATIONS``."""
    check_choice("calibration", calibration, CALIBRATIONS)


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
    check_calibration(calibration)
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


def calibrate(scores: Tensor, mask: Tensor, temperatures: Sequence[float], calibration: str = "temperature") -> Tensor:
    """Scores on the scale that the temperatures were fitted for.

    Args:
        scores: (Q, S, N) raw scores; masked ones may be NaN.
        mask: (Q, N) bool, True for a valid candidate.
        temperatures: S positive numbers.
        calibration: With which `fit_temperatures` found them.

    Returns:
        (Q, S, N), float32 or wider.
    """
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    if calibration == "zscore":
        scores = standardise(scores, mask[:, None])
    return scores / scores.new_tensor(temperatures)[:, None]


def _fit_affine(scores: Tensor, teacher_logits: Tensor, mask: Tensor, name: str) -> float:
    """The temperature 1 / a of the least-squares fit teacher_logits = a * scores + b_q, with an own b_q per query.

    The intercepts take up each query's means, so a is the sum of the within-query covariances over that of the
    variances; the softmax forgets the intercepts.
    """
    varied = queries_with_spread(name, scores, mask)
    own, theirs = (centre(values[varied].double(), mask[varied]) for values in (scores, teacher_logits))
    slope = float((own * theirs).sum() / own.square().sum())
    if slope > 0:
        return 1 / slope
    raise InputError(
        expected=f"scores of {name} that rise with the teacher's",
        got=f"a slope of {slope:.3g} teacher logits per unit of score",
        consequence="the assistant would be turned around or become infinitely flat",
        remedy="leave this assistant out, or use calibration='temperature' or 'zscore'",
    )
