"""Makes the terms of a loss pull equally hard, whatever their scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import Parameter

from st_mta.over_processes import summed


class GradientBalance:
    """Factors under which every term has a gradient as long as the first term's.

    Measured in the first call with gradients and then once in ``every`` calls, each measurement a backward pass per
    term; without gradients (in evaluation) the last factors hold.

    Args:
        every: Calls between two measurements.
    """

    def __init__(self, every: int) -> None:
        self.every = every
        self.factors: dict[str, Tensor] = {}
        self.calls = 0

    def __call__(self, terms: Mapping[str, Tensor], parameters: Sequence[Parameter]) -> dict[str, Tensor]:
        """The scalar terms, named alike in every call, times factors from the gradients of these parameters."""
        if torch.is_grad_enabled():
            if self.calls % self.every == 0:
                self.factors = self._measure(terms, parameters)
            self.calls += 1
        return {name: self.factors[name] * term if name in self.factors else term for name, term in terms.items()}

    def _measure(self, terms: Mapping[str, Tensor], parameters: Sequence[Parameter]) -> dict[str, Tensor]:
        # All processes have to use the same factors.
        lengths = summed(torch.stack([_gradient_length(term, parameters) for term in terms.values()]))
        usable = (lengths > 0) & (lengths[0] > 0)
        return dict(zip(terms, torch.where(usable, lengths[0] / lengths, 1.0).unbind()))


def _gradient_length(term: Tensor, parameters: Sequence[Parameter]) -> Tensor:
    gradients = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    squares = [gradient.float().square().sum() for gradient in gradients if gradient is not None]
    return torch.stack(squares).sum().sqrt()
