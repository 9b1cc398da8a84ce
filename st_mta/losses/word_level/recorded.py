"""What a call of a backbone leaves: token states, and attention by its parts or by its probabilities."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from st_mta.distributions import widen


@dataclass(frozen=True)
class Attention:
    """What one layer's attention was made of, before dropout.

    Attributes:
        queries: (R, H, L, D / H).
        keys: (R, H', L, D / H), H' a divisor of H.
        values: (R, H', L, D / H).
        bias: (R, 1 or H, L, L), what the layer adds to the logits, or where it may look (bool).
        scaling: Factor of the logits.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    bias: Tensor
    scaling: float

    def logits(self) -> Tensor:
        """(R, H, L, L) in float32 or wider; where the layer may not look they have the lowest finite value."""
        queries, keys = widen(self.queries), widen(self.keys)
        keys = keys.repeat_interleave(queries.shape[1] // keys.shape[1], dim=1)
        with torch.autocast(queries.device.type, enabled=False):
            logits = self.scaling * queries @ keys.mT
        lowest = torch.finfo(logits.dtype).min
        if self.bias.dtype == torch.bool:
            return torch.where(self.bias, logits, lowest)
        return (logits + self.bias).clamp(min=lowest)


@dataclass(frozen=True)
class Probabilities:
    """One layer's attention where a backbone shows nothing but its outcome, before dropout.

    Attributes:
        probabilities: (R, H, L, L); the row of a token sums to 1.
    """

    probabilities: Tensor

    def logits(self) -> Tensor:
        """(R, H, L, L) in float32 or wider: the logarithm, which is the logits less one constant in each row.

        A softmax over any part of a row does not see that constant. A probability of 0, as where the layer may not
        look, counts as the smallest normal number, without a gradient.
        """
        wide = widen(self.probabilities)
        return wide.clamp(min=torch.finfo(wide.dtype).tiny).log()


AnyAttention = Attention | Probabilities


@dataclass
class Recorded:
    """What one call of the backbone left.

    Attributes:
        hidden_states: Layer -> (R, L, D) token states after it; layer 0 is the embeddings.
        attentions: Layer -> its attention; the first layer is 1.
    """

    hidden_states: dict[int, Tensor] = field(default_factory=dict)
    attentions: dict[int, AnyAttention] = field(default_factory=dict)
