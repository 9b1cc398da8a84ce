"""A bi-encoder: encodes queries and passages apart; every text once in the life of the store."""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from st_mta.errors import InputError
from st_mta.scorers.batches import estimated_tokens, token_batches
from st_mta.scorers.cross_encoder import default_tokens_per_batch, model_name
from st_mta.scorers.frozen import FrozenModel
from st_mta.search.backends import BACKENDS
from st_mta.search.corpus import pair_products, search_corpus
from st_mta.stores import Store
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.types import FloatArray, IntArray, Retrieved, Scorer, Texts

COSINE_SCALE = 20.0
BLOCK_SIZE = 2**12
BLOCKS_AT_ONCE = 16


class BiEncoderScorer(Scorer):
    """Inner products of embeddings, normalised first where the model's similarity is the cosine.

    Args:
        model: The model, or a Hub id or folder of one. It is not modified.
        name: Name for reports, by default the model's.
        store: Where embeddings are kept; None keeps them in a temporary folder as long as the scorer lives.
        precision: "auto", "fp32" or "bf16" (embeddings are stored in fp32 either way).
        max_length: Longest text in tokens, None for the model's own.
        tokens_per_batch: Tokens encoded at once.
        device: Where to run, None for where the model is.
        block_size: Texts encoded between two writes to the store; ``retrieve`` compares 16 times as many at once.
        backend: "exact" (blocks of matrix products) or "faiss" (a flat index in memory, or on the GPU where FAISS was
            built for it) for ``retrieve``.

    Raises:
        InputError: If the model's similarity is neither the cosine nor the inner product, or the backend unknown.
    """

    kind = "bi-encoder"
    can_retrieve = True

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
        self.name = name or model_name(model, self.kind)
        self.search_with(backend, block_size)
        self.similarity = str(model.similarity_fn_name)
        _refuse_distances(self.name, self.similarity)
        self._frozen = FrozenModel(model, precision, max_length, device, owned)
        self.parameters = self._frozen.parameters
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch(self._frozen.device)
        self._temporary = tempfile.TemporaryDirectory(prefix="st_mta-") if store is None else None
        self.store = store if store is not None else Store(self._temporary.name)  # type: ignore[union-attr]

    def search_with(self, backend: str, block_size: int | None = None) -> None:
        """Sets how ``retrieve`` searches and how large its blocks are; what it finds stays the same.

        Raises:
            InputError: If the backend is unknown or the size no positive number.
        """
        _refuse_unknown_backend(backend)
        _refuse_no_block(block_size)
        self.backend, self.block_size = backend, block_size or BLOCK_SIZE

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length and precision."""
        return self._frozen.fingerprint

    @property
    def model(self) -> SentenceTransformer:
        """The frozen model."""
        return self._frozen.model

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return self._frozen.device

    @property
    def dimension(self) -> int:
        """D, the width of the embeddings."""
        return int(self.model.get_embedding_dimension())

    @property
    def similarity_scale(self) -> float:
        """What to multiply scores by before a softmax: cosines lie too close together for one."""
        return COSINE_SCALE if self.similarity == "cosine" else 1.0

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings of these texts in this role; those not in the store are encoded first."""
        fingerprint = self.fingerprint
        self.store.describe(fingerprint, self.name, self.kind)

        def encode(batch: list[str]) -> FloatArray:
            return self.encode(batch, role)

        return self.store.embeddings.get(fingerprint, role, texts, positions, encode, self.block_size)

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

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Gathered inner products; see ``Scorer.score``."""
        distinct_queries, query_of = distinct(query_positions, len(queries))
        distinct_passages, passage_of = distinct(passage_positions, len(corpus))
        left = self.embed(queries, "query", distinct_queries)
        right = self.embed(corpus, "document", distinct_passages)
        return pair_products(left.rows, right.rows, query_of, passage_of)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages of the whole corpus; ties go to the lower position."""
        query_positions = np.asarray(query_positions, dtype=np.int64)
        left = self.embed(queries, "query", query_positions)
        right = self.embed(corpus, "document", np.arange(len(corpus), dtype=np.int64))
        search = BACKENDS[self.backend](right, self._frozen.device, BLOCKS_AT_ONCE * self.block_size)
        scores, passages = search_corpus(left, right, k, search)
        return Retrieved(query_positions, passages, scores)


def distinct(positions: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The distinct positions, ascending, and for each given position its place among them (linear time)."""
    positions = np.asarray(positions, dtype=np.int64)
    present = np.zeros(size, dtype=bool)
    present[positions] = True
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[positions]


def _refuse_unknown_backend(backend: str) -> None:
    if backend not in BACKENDS:
        raise InputError(
            expected=f"a backend of {list(BACKENDS)}",
            got=repr(backend),
            consequence="the corpus could not be searched",
            remedy="choose one of the list; both find the same passages",
        )


def _refuse_no_block(block_size: int | None) -> None:
    if block_size is not None and block_size < 1:
        raise InputError(
            expected="a block size of at least 1 passage",
            got=str(block_size),
            consequence="the corpus could not be worked through",
            remedy="leave it out for the default, or give some thousands",
        )


def _refuse_distances(name: str, similarity: str) -> None:
    if similarity not in ("cosine", "dot"):
        raise InputError(
            expected="a model whose similarity is the cosine or the inner product",
            got=f"{name} with {similarity!r}",
            consequence="searching by inner product would give another ranking than the model's",
            remedy="load it with similarity_fn_name='cosine' or 'dot' if it was trained for one of them",
        )
