"""The student's forward pass over the columns of a batch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

from sentence_transformers.base.losses import column_merging_disabled
from sentence_transformers.base.losses.merged_forward import embed_columns
from torch import Tensor, nn

from st_mta.losses.batch import Labels


def embed(model: nn.Module, sentence_features: Iterable[dict[str, Any]], labels: Labels | None) -> list[Tensor]:
    """One (rows, D) tensor of sentence embeddings per column, the queries' first."""
    # Flat columns hold passages of like length; merged they would all be padded to the longest.
    with column_merging_disabled() if isinstance(labels, dict) else nullcontext():
        embeddings: list[Tensor] = embed_columns(model, sentence_features)
    return embeddings
