"""The answers of a language model in single precision, where the rest of it computes in fewer bits.

The logits of a large vocabulary are large: between 16 and 32 bf16 has steps of an eighth, by which many passages of a
query would tie.
"""

from __future__ import annotations

from typing import Any

import torch
from sentence_transformers import CrossEncoder
from sentence_transformers.cross_encoder.modules import LogitScore
from torch import Tensor, nn


class Answers(nn.Linear):
    """The rows of a head that belong to the answers, in float32.

    Args:
        head: The head, from hidden states (..., D) to logits of the vocabulary (..., V).
        tokens: The A answers.
    """

    def __init__(self, head: Any, tokens: list[int]) -> None:
        super().__init__(head.in_features, len(tokens), bias=head.bias is not None, device=head.weight.device)
        with torch.no_grad():
            self.weight.copy_(head.weight[tokens])
            if head.bias is not None:
                self.bias.copy_(head.bias[tokens])

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., A) logits."""
        return super().forward(hidden.float())


def answer_exactly(model: CrossEncoder) -> None:
    """Makes a working copy of a language model compute the logits of its answers, and no others, in float32.

    Args:
        model: Changed in place; one that is no language model, or has a head of its own make, stays as it is.
    """
    score, language_model = model[-1], model.transformers_model
    head = language_model.get_output_embeddings() if isinstance(score, LogitScore) and language_model else None
    if not isinstance(head, nn.Linear):
        return
    tokens = [token for token in (score.true_token_id, score.false_token_id) if token is not None]
    language_model.set_output_embeddings(Answers(head, tokens))
    model[-1] = LogitScore(0, 1 if len(tokens) == 2 else None, score.module_input_name)
