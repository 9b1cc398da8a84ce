"""Attention of a teacher in the student's tokens, and how far the student's own is from it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from st_mta.distributions import masked_kl, masked_log_softmax, widen
from st_mta.losses.word_level.alignment import Alignment
from st_mta.losses.word_level.recorded import AnyAttention, Attention

Distance = Literal["mse", "kl"]


def aligned_attention(logits: Tensor, rows: Alignment, columns: Alignment) -> Tensor:
    """A block of the teacher's attention in the student's tokens: logits (P, H, T, T) -> (P, H, I, J).

    Each row is the teacher's softmax over the compared tokens of the other side alone; a student's token gets the mean
    of the rows (P, I, T), and the sum of the columns (P, J, T), that cover its text. Compared rows sum to 1, and
    tokens that are not compared have 0.
    """
    compared = columns.compared_by_teacher[:, None, None]
    return columns.collect(rows.average(masked_log_softmax(logits, compared).exp()))


def attention_distance(
    student_logits: Tensor, teacher: Tensor, rows: Tensor, columns: Tensor, distance: Distance, mean_head: bool = False
) -> Tensor:
    """Distance of the student's attention over compared tokens to the teacher's.

    "mse": mean over compared rows, columns and heads of (a_student - a_teacher)^2. "kl": mean over compared rows and
    heads of KL(a_teacher || a_student).

    Args:
        student_logits: (P, H, I, J) before the softmax; tokens that are not compared have no part and no gradient.
        teacher: (P, H', I, J) probabilities.
        rows: (P, I) bool, compared tokens that look.
        columns: (P, J) bool, compared tokens looked at.
        distance: "mse" or "kl".
        mean_head: Whether the means over heads are compared, not each head with the teacher's of the same number.

    Returns:
        (P,), 0 where there are no such rows or columns.

    Example:
        >>> everything = torch.ones(1, 2, dtype=torch.bool)
        >>> teacher = torch.tensor([[[[0.75, 0.25], [0.5, 0.5]]]])
        >>> attention_distance(torch.zeros(1, 1, 2, 2), teacher, everything, everything, "mse")
        tensor([0.0312])
    """
    compared = rows[:, None, :, None] & columns[:, None, None]
    # A finite filling before heads are averaged: the gradient of logsumexp over nothing but -inf would be NaN.
    student = torch.where(compared, masked_log_softmax(student_logits, columns[:, None, None]), 0.0)
    if mean_head:
        teacher = teacher.mean(dim=1, keepdim=True)
        student = student.logsumexp(dim=1, keepdim=True) - math.log(student.shape[1])
    num_rows = student.shape[1] * rows.sum(dim=-1).clamp(min=1)
    if distance == "mse":
        squares = torch.where(compared, (student.exp() - teacher) ** 2, 0.0).sum(dim=(1, 2, 3))
        return squares / (num_rows * columns.sum(dim=-1).clamp(min=1))
    return masked_kl(teacher.log(), student, compared).sum(dim=(1, 2)) / num_rows


def interaction_logits(queries: Tensor, documents: Tensor) -> Tensor:
    """H_q H_d^T / sqrt(D) of token states (P, I, D) and (P, J, D), in float32 or wider: (P, 1, I, J)."""
    return (widen(queries) @ widen(documents).mT / math.sqrt(queries.shape[-1]))[:, None]


def relation_logits(attention: AnyAttention, relation_heads: int) -> list[Tensor]:
    """Query-query, key-key and value-value relations x x^T / sqrt(D / A) in A relation heads: three of (R, A, L, L).

    The self-attention relations of MiniLM v2 (https://arxiv.org/abs/2012.15828).
    """
    assert isinstance(attention, Attention)  # as the loss has made sure
    relations = []
    for states in (attention.queries, attention.keys, attention.values):
        together = widen(states).transpose(1, 2).flatten(2)  # (R, L, D)
        heads = together.reshape(*together.shape[:2], relation_heads, -1).transpose(1, 2)  # (R, A, L, D / A)
        relations.append(heads @ heads.mT / math.sqrt(heads.shape[-1]))
    return relations
