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
from st_mta.scorers.frozen import sharing_weights
from st_mta.scorers.host_model import HostModelScorer
from st_mta.scorers.saved_kind import saved_kind
from st_mta.stores import fingerprint_values
from st_mta.stores.embeddings import Role
from st_mta.types import FloatArray, IntArray, Texts

TOKENS_HELD = 2**16  # token vectors of passages held at once: 100 MB at 384 dimensions
QUERY_TOKENS_HELD = 2**18


class LateInteractionScorer(HostModelScorer[MultiVectorEncoder], PairScorer):
    """MaxSim scores of a multi-vector model; re-ranks only.

    The score of a pair is the sum over query tokens of the largest similarity to any passage token (Khattab and
    Zaharia 2020, equation 3); the host computes it. A bi-encoder is read token by token: its backbone's token
    vectors, normalised, without pooling or projection (the host would add a random projection instead).

    A text without a token (nothing but marks that the model skips) has score 0.

    Args: As of [`HostModelScorer`] and [`PairScorer`]; token vectors are not stored, since they take a hundred times
        the space of an embedding.
    """

    kind = "late-interaction"
    bounded = passages_together = True
    divisible = ()  # a part takes the query vectors that an earlier one has computed
    part_size = 2**12  # all distinct queries of a part are held too
    _query_vectors: dict[str, torch.Tensor] | None = None

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
            found = model.similarity_pairwise(pair_queries, pair_passages).float().cpu().numpy()
            # The host gives -1e9 where a text has no token left, which would decide every temperature.
            known = [min(len(left), len(right)) > 0 for left, right in zip(pair_queries, pair_passages)]
            scores[pairs] = np.where(known, found, np.float32(0))
        return scores

    def encode_tokens(self, texts: list[str], role: Role) -> list[torch.Tensor]:
        """Token vectors (tokens, D) of each text as ``score`` compares them, computed now."""
        model = self._frozen.model
        return self._encode(model.encode_query if role == "query" else model.encode_document, texts)

    @property
    def takes_the_mean(self) -> bool:
        """Whether a score is the mean over the query's tokens instead of the sum."""
        return str(self._frozen.model.similarity_fn_name) == "meanmaxsim"

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
        with self._frozen.computing():

            def compute(batch: IntArray) -> list[torch.Tensor]:
                return encode([texts[index] for index in batch], batch_size=len(batch), show_progress_bar=False)

            for batch, encoded in self._computed(tokens, compute):
                for index, vector in zip(batch, encoded):
                    vectors[index] = self._in_full(vector)
        return vectors

    def _in_full(self, vectors: torch.Tensor) -> torch.Tensor:
        """In fp32, of length one again where the model makes them so: in bf16 lengths are off by 4 in 1000."""
        if vectors.dtype == torch.float32:
            return vectors
        return torch.nn.functional.normalize(vectors.float(), dim=-1) if self._normalises else vectors.float()

    @property
    def _normalises(self) -> bool:
        return any(isinstance(module, Normalize) for module in self._frozen.model.children())

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length, precision, and of how scores are summed."""
        plain = super().fingerprint
        return plain if self._frozen.precision == "fp32" else fingerprint_values(plain, "summed in fp32")

    def _load(self, path: str, device: str | None) -> MultiVectorEncoder | SentenceTransformer:
        kind = SentenceTransformer if saved_kind(path) == "bi-encoder" else MultiVectorEncoder
        return kind(path, device=device)

    def _checked(self, model: MultiVectorEncoder | SentenceTransformer) -> MultiVectorEncoder:
        return token_by_token(model) if isinstance(model, SentenceTransformer) else model


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
