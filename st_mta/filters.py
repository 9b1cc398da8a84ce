"""Which negatives a teacher takes for unlabelled positives: one rule for mining and for training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from st_mta.errors import InputError

Margin = float | Sequence[float]


@dataclass(frozen=True)
class DynamicFilter:
    """A negative that the teacher scores above ``threshold`` is a likely false negative.

    Implements the filter of MD2PR (https://arxiv.org/abs/2312.16821) in the host's words; with the score t of the
    positive it filters scores above

        t - relative_margin * |t| - absolute_margin

    which for positive scores is the paper's rho * t with rho = 1 - relative_margin. Deviation: with |t| instead of t a
    margin also lowers the threshold of a negative score (raw logits are often negative). Of several positives, the
    lowest score counts.

    Args:
        relative_margin: Share of the positive's score that a negative has to stay below it. Negative margins filter
            less. A sequence is the schedule over iterations: one margin for each, the last for all that follow.
        absolute_margin: The same as a difference of scores.
        temperature: None filters entirely or not at all. Otherwise a negative keeps the weight
            sigmoid((threshold - score) / temperature), one half at the threshold.

    Raises:
        InputError: If a margin is not finite, a schedule is empty, or the temperature is not positive.
    """

    relative_margin: Margin = 0.0
    absolute_margin: Margin = 0.0
    temperature: float | None = None

    def __post_init__(self) -> None:
        for name in ("relative_margin", "absolute_margin"):
            margins = _schedule(getattr(self, name))
            if not margins or not all(map(math.isfinite, margins)):
                raise _out_of_range(f"{name} to be a finite number or a sequence of them", getattr(self, name))
        if self.temperature is not None and not 0 < self.temperature < math.inf:
            raise _out_of_range("temperature to be None or positive and finite", self.temperature)

    def threshold(self, positive_scores: Any, iteration: int = 0) -> Any:
        """The highest score that a negative may have.

        Args:
            positive_scores: Teacher's scores of the positives, as a number, a tensor or an array of any shape.
            iteration: Which margin of a schedule holds, counted from 0.

        Returns:
            Of the type and shape of ``positive_scores``.

        Example:
            >>> DynamicFilter(relative_margin=[0.0, 0.1]).threshold(-8.0, iteration=1)
            -8.8
        """
        relative, absolute = (
            margins[min(iteration, len(margins) - 1)]
            for margins in (_schedule(self.relative_margin), _schedule(self.absolute_margin))
        )
        return positive_scores - relative * abs(positive_scores) - absolute

    def rejects(self, scores: Any, positive_scores: Any, iteration: int = 0) -> Any:
        """Whether each score is above the threshold of its positive; never where either is NaN.

        Args:
            scores: Teacher's scores of negatives.
            positive_scores: Scores of their positives; broadcasts to ``scores``.
            iteration: As for ``threshold``.

        Returns:
            Booleans of the type and shape of ``scores``.
        """
        return scores > self.threshold(positive_scores, iteration)


def _schedule(margin: Margin) -> Sequence[float]:
    return margin if isinstance(margin, Sequence) else [margin]


def _out_of_range(expected: str, got: object) -> InputError:
    return InputError(expected=expected, got=repr(got), remedy="use the default or a value in this range")
