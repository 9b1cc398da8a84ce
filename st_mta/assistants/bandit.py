"""A bandit: which selection metric is used for a batch is learned from how the student gets on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

EXPLORE = 0.2
"""Share of the choices that is spread over all metrics, whatever has been learned."""
MEMORY = 0.9
"""How much of the mean divergence stays when another one comes."""


class Exp3:
    """EXP3 among a few choices, one for each batch (Auer, Cesa-Bianchi, Freund and Schapire, SIAM J. Comput. 2002).

    Choice k has the probability p_k = (1 - g) * w_k / sum(w) + g / K and, where it was made and its reward x in [0, 1]
    came, w_k grows by the factor exp(g * x / (p_k * K)).

    The reward of a choice is how near the student is to its teacher on the next batch, before it learns from that:
    x = (1 + (m - d) / m) / 2, cut to [0, 1], with d the divergence there and m its mean so far, in which older ones
    count less and less; the first batch and the second give none. It comes one batch late, when the next choice has
    been made.

    From reinforced multi-teacher selection (Yuan et al., AAAI 2021), of which this is the smallest form. Deviations:
    what is chosen are the metrics by which an assistant is selected, not a subset of the teachers; the policy knows
    nothing of the batch; and the reward is the divergence on the next batch instead of losses over an episode.

    A choice is a function of seed, number of the batch and what has been learned; nothing else is random.

    Args:
        names: The K choices.
        seed: Of the choices.
    """

    def __init__(self, names: Sequence[str], seed: int = 0) -> None:
        self.names, self.seed = tuple(names), seed
        self._weights = [0.0] * len(self.names)  # logarithms
        self._round, self._mean = 0, math.nan
        self._before: tuple[int, float] | None = None  # the choice whose reward is to come, and its probability

    @property
    def probabilities(self) -> list[float]:
        """With which each choice is made now."""
        largest = max(self._weights)
        shares = [math.exp(weight - largest) for weight in self._weights]
        return [(1 - EXPLORE) * share / sum(shares) + EXPLORE / len(shares) for share in shares]

    @property
    def chosen(self) -> int:
        """The choice for this batch."""
        drawn = np.random.default_rng([self.seed, self._round]).random()
        return int(np.searchsorted(np.cumsum(self.probabilities)[:-1], drawn, side="right"))

    def observe(self, divergence: float) -> None:
        """Ends this batch, on which the student had this divergence from its teacher before it learns from it."""
        now = self.chosen, self.probabilities[self.chosen]
        if self._before is not None and self._mean > 0:
            choice, probability = self._before
            reward = min(1.0, max(0.0, (1 + (self._mean - divergence) / self._mean) / 2))
            self._weights[choice] += EXPLORE * reward / (probability * len(self._weights))
        if math.isfinite(divergence):
            first = math.isnan(self._mean)
            self._mean = divergence if first else MEMORY * self._mean + (1 - MEMORY) * divergence
        self._before = now
        self._round += 1

    def state(self) -> dict[str, Any]:
        """What has been learned, for a checkpoint."""
        return {"weights": list(self._weights), "round": self._round, "mean": self._mean, "before": self._before}

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from what was learned."""
        self._weights, self._round, self._mean = list(state["weights"]), state["round"], state["mean"]
        self._before = state["before"]
