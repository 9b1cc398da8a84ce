"""A bi-encoder: encodes queries and passages apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.scorers.batches import estimated_tokens
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.scorers.host_model import HostModelScorer
from st_mta.stores import fingerprint_values
from st_mta.stores.embeddings import Role
from st_mta.types import FloatArray, IntArray

SHORTEST = 1e-12  # as torch's normalize: a zero vector stays one


def _finite(encode: Callable[..., Any]) -> bool:
    """Whether the model has an embedding for an empty text."""
    try:
        return bool(np.isfinite(encode([""], show_progress_bar=False)).all())
    except (RuntimeError, ValueError, IndexError):
        return False


class BiEncoderScorer(HostModelScorer[SentenceTransformer], EmbeddingScorer):
    """Inner products of a model's embeddings, normalised first where its similarity is the cosine.

    Embeddings are stored in fp32 in either precision. Those computed in bf16 are normalised in fp32: in bf16 their
    lengths are off by up to 4 in 1000, which is more than lies between neighbours in a ranking.

    Args: As of [`HostModelScorer`] and [`EmbeddingScorer`].

    Raises:
        InputError: If the model's similarity is neither the cosine nor the inner product, or the backend unknown.
    """

    host_class = SentenceTransformer
    divisible = ("encode",)

    @property
    def precision(self) -> str:
        """The number format it computes in, as a word."""
        return self._frozen.precision

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length, precision, and of how lengths are made one."""
        plain = super().fingerprint
        return fingerprint_values(plain, "normalised in fp32") if self._inexact_lengths else plain

    @property
    def _inexact_lengths(self) -> bool:
        return self.similarity == "cosine" and self.precision != "fp32"

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
        with self._frozen.computing() as model:
            embeddings = self._encode(model.encode_query if role == "query" else model.encode_document, texts)
        if self._inexact_lengths and len(embeddings):
            embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), SHORTEST)
        return embeddings

    def _encode(self, encode: Callable[..., FloatArray], texts: list[str]) -> FloatArray:
        blank = [index for index, text in enumerate(texts) if not text.strip()]
        if blank and not _finite(encode):
            # Without special tokens such a text has none, and its vector is 0.
            kept = [index for index in range(len(texts)) if texts[index].strip()]
            embeddings = np.zeros((len(texts), self.dimension), dtype=np.float32)
            embeddings[kept] = self._encode(encode, [texts[index] for index in kept]) if kept else 0
            return embeddings
        embeddings = np.zeros((0, 0), dtype=np.float32)

        def compute(batch: IntArray) -> FloatArray:
            return encode(
                [texts[index] for index in batch],
                batch_size=len(batch),
                show_progress_bar=False,
                normalize_embeddings=self.similarity == "cosine",
            )

        for batch, rows in self._computed(estimated_tokens(texts, self._frozen.max_length), compute):
            if not len(embeddings):
                embeddings = np.empty((len(texts), rows.shape[1]), dtype=np.float32)
            embeddings[batch] = rows
        return embeddings

    def _checked(self, model: SentenceTransformer) -> SentenceTransformer:
        self.similarity = str(model.similarity_fn_name)
        if self.similarity not in ("cosine", "dot"):
            raise InputError(
                expected="a model whose similarity is the cosine or the inner product",
                got=f"{self.name} with {self.similarity!r}",
                consequence="searching by inner product would give another ranking than the model's",
                remedy="load it with similarity_fn_name='cosine' or 'dot' if it was trained for one of them",
            )
        return model
