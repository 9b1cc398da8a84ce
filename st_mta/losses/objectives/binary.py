"""Binary cross-entropy: each pair on its own, relevant with the probability that the teacher gives it."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from st_mta.distributions import widen
from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.losses.objectives.plackett_luce import Others
from st_mta.losses.projection import share_gradients, share_weights
from st_mta.losses.similarity import check_range
from st_mta.over_processes import summed

LABELS = ("auto", "logits", "probabilities")


class BinaryCrossEntropy(nn.Module):
    """Mean over pairs of the cross-entropy between the teacher's probability of relevance and the student's.

    BiXSE (Tsirigotis et al., https://arxiv.org/abs/2508.06781). With s the student's scaled similarity, the student's
    probability is sigmoid(a * s + b), a and b learned with it; the teacher's is the sigmoid of its raw logit, or its
    score where scores are probabilities or grades in [0, 1] already; a document of the batch that is no candidate of
    the query counts as one with probability 0. Assistants and temperatures have no part in it.

    The value of a list is the mean over its candidates and those documents; it has no gradient where a * s + b is the
    teacher's logit everywhere, which zeros never allow. Deviation: where b is not given it begins, with the first
    batch that is trained, at -log of the mean number of a query's documents less one, less a times the mean s: a
    student's cosines lie far from 0, and steps of a training's size would not bring b there.

    Args:
        labels: What scores are: "logits", "probabilities", or "auto", which takes them for probabilities where all
            of the first batch lie in [0, 1].
        in_batch: Whether the batch's other documents count, as zeros.
        scale: a at first, positive.
        bias: b at first; None is as above.

    Attributes:
        log_scale: log a.
        bias: b.

    Raises:
        InputError: If an argument is out of range, or scores are said to be probabilities and are none.
    """

    def __init__(
        self, *, labels: str = "auto", in_batch: bool = True, scale: float = 1.0, bias: float | None = None
    ) -> None:
        super().__init__()
        check_choice("labels", labels, LABELS)
        check_range("scale", scale, 0 < scale < math.inf, "positive")
        self.labels, self.in_batch, self.begun = labels, in_batch, False
        self._given = bias is not None
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.bias = nn.Parameter(torch.tensor(0.0 if bias is None else float(bias)))
        share_gradients(self)

    def forward(
        self,
        student_logits: Tensor,
        target_log_probs: Tensor,
        mask: Tensor,
        *,
        scores: Tensor,
        others: Others | None = None,
    ) -> Tensor:
        """The value of each list.

        Args:
            student_logits: (..., N) scaled similarities.
            target_log_probs: Unused: a distribution over candidates does not say whether any is relevant.
            mask: (..., N) bool, True for a valid candidate.
            scores: (..., N) the teacher's raw ones; masked ones may be anything.
            others: Logits (..., M) of the batch's documents that are no candidates of a query, and a mask.

        Returns:
            (...) in nats.
        """
        student, counts = widen(student_logits), mask
        wanted = torch.where(mask, widen(scores), 0.0)
        if others is not None:
            student = torch.cat([student, others[0].to(student)], dim=-1)
            counts = torch.cat([mask, others[1]], dim=-1)
        student = torch.where(counts, student, 0.0)
        outside = ((wanted < 0) | (wanted > 1)).sum()
        if torch.is_grad_enabled() and not self.begun:
            self._begin(outside, student.detach(), counts)
        wanted = wanted.clamp(0, 1) if self._are_probabilities(outside) else wanted.sigmoid()
        wanted = F.pad(wanted.to(student), (0, counts.shape[-1] - mask.shape[-1]))
        logits = self.log_scale.exp() * student + self.bias
        losses = F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")
        return torch.where(counts, losses, 0.0).sum(dim=-1) / counts.sum(dim=-1).clamp(min=1)

    def _are_probabilities(self, outside: Tensor) -> bool:
        return self.labels == "probabilities" or (self.labels == "auto" and not outside)

    @torch.no_grad()
    def _begin(self, outside: Tensor, student: Tensor, counts: Tensor) -> None:
        """Settles on the first batch what was left open; all processes that train together settle it alike."""
        counted = [outside, student.sum(), counts.sum(), counts.any(dim=-1).sum()]
        outside, total, pairs, lists = summed(torch.stack([each.double() for each in counted]))
        if self.labels == "probabilities" and outside:
            raise InputError(
                expected="a teacher's scores in [0, 1], as labels='probabilities' says",
                got=f"{int(outside)} outside of it in the first batch",
                remedy="give labels='logits' for raw scores, whose sigmoid is then taken",
            )
        self.labels = "probabilities" if self._are_probabilities(outside) else "logits"
        if not self._given and pairs:
            negatives = (pairs / lists - 1).clamp(min=1)
            self.bias.copy_(-negatives.log() - self.log_scale.exp() * total / pairs)
        share_weights(self)
        self.begun = True

    def get_extra_state(self) -> dict[str, Any]:
        """What the first batch settled, for a checkpoint (see ``KeepLossWeights``)."""
        return {"labels": self.labels} if self.begun else {}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restores it from a checkpoint."""
        if state:
            self.labels, self.begun = state["labels"], True

    def get_config_dict(self) -> dict[str, Any]:
        """What is learned, as it is now, and how scores are read."""
        return {"scale": math.exp(self.log_scale.item()), "bias": self.bias.item(), "labels": self.labels}
