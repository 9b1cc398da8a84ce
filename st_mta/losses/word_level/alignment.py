"""Which tokens of the teacher cover the same characters as a token of the student."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from st_mta.errors import InputError


@dataclass(frozen=True)
class Alignment:
    """Student's tokens (P, I) against teacher's tokens (P, T), by the length of text they share.

    Equal tokenizers make it a permutation. Special tokens, padding and what either side truncated share nothing.

    Attributes:
        shared: (P, I, T) float, at least 0.
    """

    shared: Tensor

    @property
    def compared(self) -> Tensor:
        """(P, I) bool: student's tokens that share text with a token of the teacher."""
        return self.shared.amax(dim=-1) > 0

    @property
    def compared_by_teacher(self) -> Tensor:
        """(P, T) bool: the same for the teacher's tokens."""
        return self.shared.amax(dim=-2) > 0

    def average(self, states: Tensor) -> Tensor:
        """Teacher's rows (P, ..., T, X) -> student's rows (P, ..., I, X): the mean over shared text."""
        return _between(self.shared / _positive(self.shared.sum(dim=-1, keepdim=True)), states) @ states

    def collect(self, masses: Tensor) -> Tensor:
        """Teacher's columns (P, ..., X, T) -> student's columns (P, ..., X, I): masses are shared out, not lost."""
        return masses @ _between(self.shared / _positive(self.shared.sum(dim=-2, keepdim=True)), masses).mT


def align(student_spans: Tensor, teacher_spans: Tensor) -> Alignment:
    """Aligns tokens by start and end in the same text: (P, I, 2) and (P, T, 2); empty spans are not compared."""
    starts = torch.maximum(student_spans[..., None, 0], teacher_spans[..., None, :, 0])
    ends = torch.minimum(student_spans[..., None, 1], teacher_spans[..., None, :, 1])
    return Alignment((ends - starts).clamp(min=0).float())


def positions(text: Tensor) -> Tensor:
    """Spans that count tokens instead of characters, for equal tokenizers: (R, L) bool -> (R, L, 2)."""
    ends = text.cumsum(dim=-1) * text
    return torch.stack([(ends - 1).clamp(min=0), ends], dim=-1)


def check_coverage(coverage: float, min_coverage: float) -> None:
    """Raises ``InputError`` if the share of aligned tokens is below ``min_coverage``."""
    if coverage < min_coverage:
        raise InputError(
            expected=f"at least {min_coverage:.0%} of the student's tokens to align with the teacher's",
            got=f"{coverage:.1%} in the first batch",
            remedy="raise the teacher's max_seq_length if it truncates, use models with like tokenizers, or set "
            "min_coverage lower",
        )


def _between(weights: Tensor, like: Tensor) -> Tensor:
    """(P, I, T) -> (P, 1, ..., I, T), in the type and with the number of axes of ``like``."""
    return weights.reshape(len(weights), *[1] * (like.ndim - 3), *weights.shape[1:]).to(like.dtype)


def _positive(sums: Tensor) -> Tensor:
    """Sums to divide by: 1 where there is nothing, which leaves zeros zero."""
    return torch.where(sums > 0, sums, 1.0)
