"""A bi-encoder: encodes queries and passages apart."""

from __future__ import annotations

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.scorers.batches import estimated_tokens, token_batches
from st_mta.scorers.cross_encoder import default_tokens_per_batch, model_name
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.scorers.frozen import FrozenModel
from st_mta.stores import Store
from st_mta.stores.embeddings import Role
from st_mta.types import FloatArray


class BiEncoderScorer(EmbeddingScorer):
    """Inner products of a model's embeddings, normalised first where its similarity is the cosine.

    Args:
        model: The model, or a Hub id or folder of one. It is not modified.
        name: Name for reports, by default the model's.
        store: Where embeddings are kept; None keeps them in a temporary folder as long as the scorer lives.
        precision: "auto", "fp32" or "bf16" (embeddings are stored in fp32 either way).
        max_length: Longest text in tokens, None for the model's own.
        tokens_per_batch: Tokens encoded at once.
        device: Where to run, None for where the model is.
        block_size: As of [`EmbeddingScorer`], like the backend.
        backend: "exact" or "faiss".

    Raises:
        InputError: If the model's similarity is neither the cosine nor the inner product, or the backend unknown.
    """

    def __init__(
        self,
        model: SentenceTransformer | str,
        name: str | None = None,
        store: Store | None = None,
        precision: str = "auto",
        max_length: int | None = None,
        tokens_per_batch: int | None = None,
        device: str | torch.device | None = None,
        block_size: int | None = None,
        backend: str = "exact",
    ) -> None:
        owned = False
        if isinstance(model, str):
            name, owned = name or model, True
            model = SentenceTransformer(model, device=None if device is None else str(device))
        super().__init__(name or model_name(model, self.kind), store, block_size, backend)
        self.similarity = str(model.similarity_fn_name)
        _refuse_distances(self.name, self.similarity)
        self._frozen = FrozenModel(model, precision, max_length, device, owned)
        self.parameters, self.layers = self._frozen.parameters, self._frozen.layers
        self.device = self._frozen.device
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch(self.device)

    @property
    def precision(self) -> str:
        """The number format it computes in, as a word."""
        return self._frozen.precision

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length and precision."""
        return self._frozen.fingerprint

    @property
    def model(self) -> SentenceTransformer:
        """The frozen model."""
        return self._frozen.model

    @property
    def dimension(self) -> int:
        """D, the width of the embeddings."""
        return int(self.model.get_embedding_dimension())

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) float32 embeddings, computed now, whatever the store holds."""
        model = self._frozen.model
        encode = model.encode_query if role == "query" else model.encode_document
        embeddings: FloatArray | None = None
        tokens = estimated_tokens(texts, self._frozen.max_length)
        for batch in token_batches(tokens, self.tokens_per_batch):
            rows = encode(
                [texts[index] for index in batch],
                batch_size=len(batch),
                show_progress_bar=False,
                normalize_embeddings=self.similarity == "cosine",
            )
            if embeddings is None:
                embeddings = np.empty((len(texts), rows.shape[1]), dtype=np.float32)
            embeddings[batch] = rows
        return embeddings if embeddings is not None else np.zeros((0, 0), dtype=np.float32)


def _refuse_distances(name: str, similarity: str) -> None:
    if similarity not in ("cosine", "dot"):
        raise InputError(
            expected="a model whose similarity is the cosine or the inner product",
            got=f"{name} with {similarity!r}",
            consequence="searching by inner product would give another ranking than the model's",
            remedy="load it with similarity_fn_name='cosine' or 'dot' if it was trained for one of them",
        )
