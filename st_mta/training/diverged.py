"""A training that ended badly: its stage is not recorded, and its student is not kept."""

from __future__ import annotations

import math
from typing import Any

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn

from st_mta.errors import InputError

TEXTS = ["a short text", "a longer text, to see whether its embedding is finite " * 8]


def refuse_diverged(
    model: nn.Module, training: str, learning_rate: float, losses: dict[str, float] | None = None
) -> None:
    """Raises ``InputError`` where a trained model is of no use.

    Args:
        model: As training left it.
        training: What it was called, for the message.
        learning_rate: The peak rate of that training, for the message.
        losses: Logged on the way, by any name.

    Raises:
        InputError: If a weight, a loss, an embedding or a logit is not finite.
    """
    if (what := _not_finite(model, losses or {})) is None:
        return
    raise InputError(
        expected=f"finite weights, losses and embeddings after {training}",
        got=f"{what} (learning rate {learning_rate:g})",
        consequence="a model that tells no two texts apart would be recorded as trained",
        remedy="train with a lower learning rate, in a new folder or with --overwrite; this training is not recorded",
    )


def _not_finite(model: Any, losses: dict[str, float]) -> str | None:
    for name, loss in losses.items():
        if not math.isfinite(loss):
            return f"{loss} as the {name} loss"
    for name, weight in model.named_parameters():
        if weight.is_floating_point() and not torch.isfinite(weight).all():
            return f"a weight of {name!r} that is not"
    if isinstance(model, SentenceTransformer):
        embeddings = torch.as_tensor(model.encode(TEXTS, show_progress_bar=False))
        if not torch.isfinite(embeddings).all():
            return "an embedding that is not"
    if isinstance(model, CrossEncoder):
        logits = torch.as_tensor(model.predict([tuple(TEXTS)], activation_fn=nn.Identity(), show_progress_bar=False))
        if not torch.isfinite(logits).all():
            return "a logit that is not"
    return None
