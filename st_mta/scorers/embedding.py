"""What every scorer by embeddings shares: the store, inner products of pairs, search of the corpus."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Callable
from functools import cache, partial

import numpy as np
import torch

from st_mta.errors import InputError
from st_mta.scorers.positions import checked_pairs, checked_search
from st_mta.search.backends import BACKENDS, check_backend
from st_mta.search.corpus import Search, pair_products, search_corpus
from st_mta.stores import Store
from st_mta.stores.embeddings import Embeddings, Role
from st_mta.stores.searches import Search as StoredSearch
from st_mta.types import FloatArray, IntArray, Retrieved, Scorer, Texts

BLOCK_SIZE = 2**12
BLOCKS_AT_ONCE = 16
MOST_TIMED = 250_000  # passages searched at most while the speed is taken


class EmbeddingScorer(Scorer):
    """A scorer whose scores are inner products of embeddings; every text is encoded once in the life of the store.

    Args:
        name: Short unique name for reports.
        store: Where embeddings are kept; None keeps them in a temporary folder as long as the scorer lives.
        block_size: Texts encoded between two writes to the store; ``retrieve`` compares 16 times as many at once.
        backend: "exact" (blocks of matrix products) or "faiss" (a flat index in memory, or on the GPU where FAISS was
            built for it) for ``retrieve``.

    Attributes:
        dimension: D, the width of the embeddings.
        similarity: "cosine" where the embeddings have length one, otherwise "dot".
        device: Where the corpus is searched.

    Raises:
        InputError: If the backend is unknown or not installed, or the block size no positive number.
    """

    kind = "bi-encoder"
    can_retrieve = bounded = True
    similarity = "cosine"
    device = torch.device("cpu")

    def __init__(
        self, name: str, store: Store | None = None, block_size: int | None = None, backend: str = "exact"
    ) -> None:
        self.name = name
        self.search_with(backend, block_size)
        self._temporary = tempfile.TemporaryDirectory(prefix="st_mta-") if store is None else None
        self.store = store if store is not None else Store(self._temporary.name)  # type: ignore[union-attr]

    @property
    @abstractmethod
    def dimension(self) -> int:
        """D, the width of the embeddings."""

    @abstractmethod
    def encode(self, texts: list[str], role: Role) -> FloatArray:
        """(n, D) float32 embeddings, computed now, whatever the store holds."""

    def search_with(self, backend: str, block_size: int | None = None) -> None:
        """Sets how ``retrieve`` searches and how large its blocks are; what it finds stays the same.

        Raises:
            InputError: If the backend is unknown or not installed, or the size no positive number.
        """
        check_backend(backend)
        if block_size is not None and block_size < 1:
            remedy = "leave it out for the default, or give some thousands"
            raise InputError(expected="a block size of at least 1 passage", got=str(block_size), remedy=remedy)
        self.backend, self.block_size = backend, block_size or BLOCK_SIZE

    def embed(self, texts: Texts, role: Role, positions: IntArray) -> Embeddings:
        """The embeddings of these texts in this role; those not in the store are encoded first."""
        return self.store.embeddings.get(self._described(), role, texts, positions, *self._encoding(role))

    def fill(self, role: Role, texts: Texts, asked: IntArray) -> int:
        """Encodes and stores those of distinct texts (n,) that are not stored, block by block in this very order.

        Returns:
            How many were encoded here.
        """
        return self.store.embeddings.fill(self._described(), role, texts, asked, *self._encoding(role))

    def _described(self) -> str:
        fingerprint = self.fingerprint
        self.store.describe(fingerprint, self.name, self.kind)
        return fingerprint

    def _encoding(self, role: Role) -> tuple[Callable[[list[str]], FloatArray], int]:
        return partial(self.encode, role=role), self.block_size

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """Gathered inner products; see ``Scorer.score``."""
        query_positions, passage_positions = checked_pairs(queries, corpus, query_positions, passage_positions)
        distinct_queries, query_of = distinct(query_positions, len(queries))
        distinct_passages, passage_of = distinct(passage_positions, len(corpus))
        left, right = self.embed(queries, "query", distinct_queries), self.embed(corpus, "document", distinct_passages)
        return pair_products(left.rows, right.rows, query_of, passage_of)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages of the whole corpus, from the store if known; ties go to the lower position."""
        query_positions, k = checked_search(queries, query_positions, k)

        @cache
        def ready() -> tuple[Embeddings, Embeddings, Search]:
            # All queries asked for, whichever are searched: what is encoded together is then always the same.
            left = self.embed(queries, "query", query_positions)
            right = self.embed(corpus, "document", np.arange(len(corpus), dtype=np.int64))
            return left, right, BACKENDS[self.backend](right, self.device, BLOCKS_AT_ONCE * self.block_size)

        def search(rows: IntArray, depth: int) -> tuple[FloatArray, IntArray]:
            left, right, backend = ready()
            return search_corpus(left.at(rows), right, depth, backend)

        scores, passages = self._searched(queries, corpus, query_positions, k, search)
        return Retrieved(query_positions, passages, scores)

    def _searched(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int, search: StoredSearch
    ) -> tuple[FloatArray, IntArray]:
        """Scores and passages (Q, k), from the store where a search as deep was made before."""
        return self.store.searches.get(self.fingerprint, queries, corpus, query_positions, k, search)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object]:
        """Encodes the queries and searches stored embeddings of a part of the corpus."""
        passages = np.arange(min(MOST_TIMED, len(corpus)), dtype=np.int64)
        matrix = self.embed(corpus, "document", passages).rows(slice(None))
        best = min(10, len(matrix) - 1)
        return lambda batch: np.argpartition(-(self.encode(queries.take(batch), "query") @ matrix.T), best)


def distinct(positions: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The distinct positions, ascending, and for each given position its place among them (linear time)."""
    positions = np.asarray(positions, dtype=np.int64)
    present = np.zeros(size, dtype=bool)
    present[positions] = True
    place = np.cumsum(present) - 1
    return np.flatnonzero(present), place[positions]
