"""Late interaction: every token of the query against every token of the passage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from sentence_transformers import MultiVectorEncoder, SentenceTransformer
from sentence_transformers.base.modules import Normalize
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from st_mta.scorers.base import PairScorer
from st_mta.scorers.batches import estimated_tokens, token_batches
from st_mta.scorers.cross_encoder import default_tokens_per_batch, model_name
from st_mta.scorers.frozen import FrozenModel, sharing_weights
from st_mta.scorers.saved_kind import saved_kind
from st_mta.stores import Store
from st_mta.types import FloatArray, IntArray, Texts

# Token vectors of passages held at once: 100 MB at 384 dimensions.
TOKENS_HELD = 2**16
QUERY_TOKENS_HELD = 2**18
# All distinct queries of a part are held too.
PART_SIZE = 2**12


class LateInteractionScorer(PairScorer):
    """MaxSim scores of a multi-vector model; re-ranks only.

    The score of a pair is the sum over query tokens of the largest similarity to any passage token (Khattab and
    Zaharia 2020, equation 3); the host computes it. A bi-encoder is read token by token: its backbone's token
    vectors, normalised, without pooling or projection (the host would add a random projection instead).

    Args:
        model: The model, or a Hub id or folder of one. It is not modified.
        name: Name for reports, by default the model's.
        store: Where scores are kept (token vectors are not: they take a hundred times the space of an embedding).
        precision: "auto", "fp32" or "bf16".
        max_length: Longest text in tokens, None for the model's own.
        tokens_per_batch: Tokens encoded at once.
        device: Where to run, None for where the model is.
        part_size: Pairs computed between two writes to the store.
    """

    kind = "late-interaction"
    passages_together = True

    def __init__(
        self,
        model: MultiVectorEncoder | SentenceTransformer | str,
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
            model = _load(model, None if device is None else str(device))
        super().__init__(name or model_name(model, self.kind), store, part_size)
        if isinstance(model, SentenceTransformer):
            model = token_by_token(model)
        self._query_vectors: dict[str, torch.Tensor] | None = None
        self._frozen = FrozenModel(model, precision, max_length, device, owned)
        self.parameters, self.layers = self._frozen.parameters, self._frozen.layers
        self.tokens_per_batch = tokens_per_batch or default_tokens_per_batch(self._frozen.device)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length, precision and similarity."""
        return self._frozen.fingerprint

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """MaxSim scores of pairs; see ``PairScorer.score``."""
        self._query_vectors = {}
        try:
            return super().score(queries, corpus, query_positions, passage_positions)
        finally:
            self._query_vectors = None

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) MaxSim scores; distinct texts are encoded once, passages block by block."""
        model = self._frozen.model
        query_texts, query_of = distinct_texts(queries)
        passage_texts, passage_of = distinct_texts(passages)
        left = self._encode_queries(query_texts)
        scores = np.empty(len(queries), dtype=np.float32)
        place = np.empty(len(passage_texts), dtype=np.int64)
        for block in token_batches(estimated_tokens(passage_texts, self._frozen.max_length), TOKENS_HELD):
            right = self._encode(model.encode_document, [passage_texts[index] for index in block])
            place.fill(-1)
            place[block] = np.arange(len(block))
            pairs = np.flatnonzero(place[passage_of] >= 0)
            pair_queries = [left[index] for index in query_of[pairs]]
            pair_passages = [right[index] for index in place[passage_of[pairs]]]
            scores[pairs] = model.similarity_pairwise(pair_queries, pair_passages).float().cpu().numpy()
        return scores

    def _encode_queries(self, texts: list[str]) -> list[torch.Tensor]:
        """Token vectors of each query, kept within a call of ``score``: the next part asks for many of them again."""
        held = self._query_vectors if self._query_vectors is not None else {}
        if sum(map(len, held.values())) > QUERY_TOKENS_HELD:
            held.clear()
        new = [text for text in texts if text not in held]
        held.update(zip(new, self._encode(self._frozen.model.encode_query, new)))
        return [held[text] for text in texts]

    def _encode(self, encode: Callable[..., list[torch.Tensor]], texts: list[str]) -> list[torch.Tensor]:
        """Token vectors (tokens, D) of each text."""
        vectors: list[torch.Tensor] = [torch.empty(0)] * len(texts)
        tokens = estimated_tokens(texts, self._frozen.max_length)
        for batch in token_batches(tokens, self.tokens_per_batch):
            encoded = encode([texts[index] for index in batch], batch_size=len(batch), show_progress_bar=False)
            for index, vector in zip(batch, encoded):
                vectors[index] = vector
        return vectors


def distinct_texts(texts: list[str]) -> tuple[list[str], IntArray]:
    """The distinct texts and for each text its place among them."""
    encoded = pa.array(texts, type=pa.large_string()).dictionary_encode()
    return list(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int64)


def token_by_token(model: SentenceTransformer) -> MultiVectorEncoder:
    """A bi-encoder's backbone as a multi-vector model, around the same weights."""
    copied = sharing_weights(model)
    modules = [copied[0], MultiVectorMask(), Normalize(module_input_name="token_embeddings")]
    prompts = {name: text for name, text in (copied.prompts or {}).items() if text}
    return MultiVectorEncoder(modules=modules, prompts=prompts or None, device=str(model.device))


def _load(path: str, device: str | None) -> MultiVectorEncoder | SentenceTransformer:
    if saved_kind(path) == "bi-encoder":
        return SentenceTransformer(path, device=device)
    return MultiVectorEncoder(path, device=device)
