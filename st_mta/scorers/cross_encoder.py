"""A cross-encoder: reads query and passage together, the usual teacher."""

from __future__ import annotations

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers.base import PairScorer
from st_mta.scorers.batches import estimated_tokens
from st_mta.scorers.host_model import HostModelScorer
from st_mta.scorers.lengths import longest_input
from st_mta.types import FloatArray


class CrossEncoderScorer(HostModelScorer[CrossEncoder], PairScorer):
    """Raw logits of a cross-encoder with a single output.

    The activation a model was saved with (a sigmoid for most) is switched off: it would squash the differences
    between good passages that a student is to learn.

    Args: As of [`HostModelScorer`] and [`PairScorer`]. A pair may have twice ``max_length`` tokens, but never more
        than the model's own limit, which None means.

    Raises:
        InputError: If the model has more than one output.
    """

    kind = "cross-encoder"
    host_class = CrossEncoder
    extra = {"activation": "identity"}

    @property
    def model(self) -> CrossEncoder:
        """The frozen model."""
        return self._frozen.model

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) raw logits."""
        tokens = estimated_tokens(queries, None) + estimated_tokens(passages, None)
        limit = self._frozen.max_length
        scores = np.empty(len(queries), dtype=np.float32)
        with self._frozen.computing() as model:
            for batch in self._batches(np.minimum(tokens, limit) if limit else tokens):
                scores[batch] = model.predict(
                    [(queries[index], passages[index]) for index in batch],
                    batch_size=len(batch),
                    activation_fn=torch.nn.Identity(),
                    show_progress_bar=False,
                ).reshape(len(batch))
        return scores

    def _checked(self, model: CrossEncoder) -> CrossEncoder:
        if model.num_labels != 1:
            raise InputError(
                expected="a cross-encoder with one output, the relevance of the passage",
                got=f"{self.name} with {model.num_labels} outputs",
                remedy="use a re-ranker (num_labels=1), such as cross-encoder/ms-marco-MiniLM-L6-v2",
            )
        return model

    def _length(self, model: CrossEncoder, max_length: int | None) -> int | None:
        """Room for a query and a passage of ``max_length`` tokens each, as far as the model reaches."""
        if max_length is None:
            return None
        return min(2 * max_length, longest_input(model) or 2 * max_length)
