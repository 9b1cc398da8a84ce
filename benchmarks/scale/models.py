"""Models that cost next to nothing, so that what is left to measure is everything around them."""

from __future__ import annotations

import numpy as np
import torch
import xxhash
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from benchmarks.scale.texts import first_words
from st_mta.scorers import EmbeddingScorer
from st_mta.scorers.base import PairScorer
from st_mta.stores import Store, fingerprint_values
from st_mta.stores.embeddings import Role
from st_mta.types import FloatArray, IntArray, Retrieved, Scorer, Texts

DIMENSION, STUDENT_DIMENSION = 384, 64
STUDENT_WORDS = 30_000


class RandomEncoder(EmbeddingScorer):
    """A bi-encoder whose embeddings are drawn at random, seeded by the text.

    Args:
        store: Where they are kept.
    """

    can_retrieve = False  # its search is measured for a part of the queries; for all of them it would take hours

    def __init__(self, store: Store) -> None:
        super().__init__("random-encoder", store)

    @property
    def dimension(self) -> int:
        """D."""
        return DIMENSION

    @property
    def fingerprint(self) -> str:
        """Of its one form."""
        return fingerprint_values("scale-random-encoder", DIMENSION)

    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """Unit vectors (n, D)."""
        seeds = (xxhash.xxh3_64_intdigest(text.encode(), seed=len(role)) for text in texts)
        drawn = [np.random.Generator(np.random.SFC64(seed)).standard_normal(DIMENSION, np.float32) for seed in seeds]
        rows = np.stack(drawn) if drawn else np.zeros((0, DIMENSION), dtype=np.float32)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


class RandomTeacher(PairScorer):
    """A cross-encoder whose scores are drawn at random, seeded by both texts.

    Args:
        store: Where they are kept.
    """

    kind = "cross-encoder"

    def __init__(self, store: Store) -> None:
        super().__init__("random-teacher", store)

    @property
    def fingerprint(self) -> str:
        """Of its one form."""
        return fingerprint_values("scale-random-teacher")

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) scores between -8 and 8."""
        digest = xxhash.xxh3_64_intdigest
        seeds = (digest(passage.encode(), seed=digest(query.encode())) for query, passage in zip(queries, passages))
        numbers = np.fromiter(seeds, np.uint64, len(queries))
        return np.asarray(numbers.astype(np.float64) / 2**60 - 8, dtype=np.float32)


class RandomRetriever(Scorer):
    """Rankings drawn at random, the same whenever they are asked for."""

    name, kind, can_retrieve = "random-retriever", "bi-encoder", True

    @property
    def fingerprint(self) -> str:
        """Of its one form."""
        return fingerprint_values("scale-random-retriever")

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) zeros: only its rankings are asked for."""
        return np.zeros(len(query_positions), dtype=np.float32)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k passages of each query (some of small corpora more than once), with falling scores."""
        passages = np.random.default_rng(0).integers(0, len(corpus), (len(query_positions), k))
        scores = np.tile(-np.arange(k, dtype=np.float32), (len(query_positions), 1))
        return Retrieved(np.asarray(query_positions), passages, scores)


def static_student() -> SentenceTransformer:
    """A student that averages vectors of words: as quick to encode and to train as any can be."""
    vocabulary = {word: number for number, word in enumerate(["[UNK]", *first_words(STUDENT_WORDS)])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    weights = torch.randn(len(vocabulary), STUDENT_DIMENSION, generator=torch.Generator().manual_seed(0))
    return SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights.numpy())], device="cpu")
