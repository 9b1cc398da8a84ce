"""A cross-encoder: reads query and passage together, the usual teacher."""

from __future__ import annotations

import numpy as np
import torch
from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers.base import PART_SIZE, PairScorer
from st_mta.scorers.batches import estimated_tokens, token_batches
from st_mta.scorers.frozen import FrozenModel
from st_mta.stores import Store
from st_mta.types import FloatArray

TOKENS_PER_CORE = 2**10
TOKENS_PER_GPU = 2**16


class CrossEncoderScorer(PairScorer):
    """Raw logits of a cross-encoder with a single output.

    The activation a model was saved with (a sigmoid for most) is switched off: it would squash the differences
    between good passages that a student is to learn.

    Args:
        model: The model, or a Hub id or folder of one. It is not modified.
        name: Name for reports, by default the model's.
        store: Where scores are kept.
        precision: "auto", "fp32" or "bf16".
        max_length: Longest text in tokens, as of every scorer: a pair may have twice as many, but never more than the
            model's own limit, which None means.
        tokens_per_batch: Tokens computed at once.
        device: Where to run, None for where the model is.
        part_size: Pairs computed between two writes to the store.

    Raises:
        InputError: If the model has more than one output.
    """

    kind = "cross-encoder"

    def __init__(
        self,
        model: CrossEncoder | str,
        name: str | None = None,
        store: Store | None = None,
        precision: str = "auto",
        max_length: int | None = None,
        tokens_per_batch: int | None = None,
        device: str | torch.device | None = None,
        part_size: int = PART_SIZE,
    ) -> None:
        owned = False
        if isinstance(model, str):
            name, owned = name or model, True
            model = CrossEncoder(model, device=None if device is None else str(device))
        super().__init__(name or model_name(model, self.kind), store, part_size)
        _refuse_several_outputs(self.name, model.num_labels)
        pair_length = _pair_length(model, max_length)
        self._frozen = FrozenModel(model, precision, pair_length, device, owned, activation="identity")
        self.parameters, self.layers = self._frozen.parameters, self._frozen.layers
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch(self._frozen.device)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, length, precision and the absent activation."""
        return self._frozen.fingerprint

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) raw logits."""
        model = self._frozen.model
        tokens = estimated_tokens(queries, None) + estimated_tokens(passages, None)
        limit = self._frozen.max_length
        scores = np.empty(len(queries), dtype=np.float32)
        for batch in token_batches(np.minimum(tokens, limit) if limit else tokens, self.tokens_per_batch):
            scores[batch] = model.predict(
                [(queries[index], passages[index]) for index in batch],
                batch_size=len(batch),
                activation_fn=torch.nn.Identity(),
                show_progress_bar=False,
            ).reshape(len(batch))
        return scores


def _pair_length(model: CrossEncoder, max_length: int | None) -> int | None:
    """Room for a query and a passage of ``max_length`` tokens each, as far as the model reaches."""
    if max_length is None:
        return None
    own = model.max_seq_length
    return 2 * max_length if own is None else min(2 * max_length, own)


def default_tokens_per_batch(device: torch.device) -> int:
    """Tokens computed at once: a core is fastest while its share fits its caches, a GPU wants all its cores filled."""
    return TOKENS_PER_GPU if device.type == "cuda" else TOKENS_PER_CORE * torch.get_num_threads()


def model_name(model: torch.nn.Module, kind: str) -> str:
    """The Hub id or folder a model was loaded from, or its kind."""
    # Not the card's base_model: it stays what it was when a model is trained further.
    return str(getattr(getattr(model, "config", None), "_name_or_path", "") or kind)


def _refuse_several_outputs(name: str, num_labels: int) -> None:
    if num_labels != 1:
        raise InputError(
            expected="a cross-encoder with one output, the relevance of the passage",
            got=f"{name} with {num_labels} outputs",
            consequence="it is unclear which output orders passages",
            remedy="use a re-ranker (num_labels=1), such as cross-encoder/ms-marco-MiniLM-L6-v2",
        )
