"""A sparse encoder: weights of terms learned from data (SPLADE), searched with an inverted index."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import scipy.sparse as sp
import torch
from sentence_transformers import SparseEncoder
from sentence_transformers.sparse_encoder.modules import SpladePooling

from st_mta.errors import InputError
from st_mta.processes import at_once, processes
from st_mta.progress import progress
from st_mta.scorers.base import PairScorer
from st_mta.scorers.batches import estimated_tokens
from st_mta.scorers.host_model import HostModelScorer
from st_mta.scorers.inverted import InvertedIndex, row_products
from st_mta.scorers.positions import checked_search
from st_mta.stores import fingerprint_values, text_keys
from st_mta.stores.embeddings import Role
from st_mta.stores.finite import check_finite
from st_mta.types import FloatArray, IntArray, Retrieved, Texts

LOGITS_AT_ONCE = {"cpu": 2**26, "cuda": 2**28}
"""Weights of terms that a batch has before most of them are dropped, 4 bytes each: one for every token and term."""
BLOCK = 2**9
"""Texts encoded at once: always the same ones together, whichever are asked for."""


class SparseScorer(HostModelScorer[SparseEncoder], PairScorer):
    """Inner products of a sparse encoder's weights of terms, or cosines where that is the model's similarity.

    Scores and searches are kept in the store. The weights of a corpus are held in memory as long as scorer and corpus
    live (some 100 terms a passage, 8 bytes each, twice where pairs are scored as well); equal texts are encoded once.

    Args: As of [`HostModelScorer`] and [`PairScorer`].

    Raises:
        InputError: If the model's similarity is neither the cosine nor the inner product.
    """

    kind = "sparse"
    divisible = ("encode",)
    host_class = SparseEncoder
    can_retrieve = bounded = True

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        if self.tokens_per_batch is None:
            self.tokens_per_batch = max(
                1, LOGITS_AT_ONCE.get(self.device.type, LOGITS_AT_ONCE["cuda"]) // self.dimension
            )
        self._encoded: tuple[str, WeakKeyDictionary[Texts, dict[Role, _Encoded]]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What another process is sent: nothing that was computed."""
        return {**self.__dict__, "_encoded": None}

    @property
    def dimension(self) -> int:
        """V, the number of terms."""
        return int(self._frozen.model.get_embedding_dimension() or 1)

    @property
    def fingerprint(self) -> str:
        """Digest of weights, configuration, prompts, length, precision and of how many terms are kept."""
        plain, kept = super().fingerprint, self._frozen.model.max_active_dims
        return plain if kept is None else fingerprint_values(plain, "max_active_dims", kept)

    def encode(self, texts: list[str], role: Role) -> sp.csr_matrix:
        """(n, V) float32 weights of terms, computed now."""
        with self._frozen.computing() as model:
            encode = model.encode_query if role == "query" else model.encode_document
            rows = self._encode(encode, texts)
        if rows.nnz:
            check_finite(f"weights of terms from {self.name}", rows.data, lambda entry: _text_of(texts, rows, entry))
        if self._frozen.model.similarity_fn_name == "cosine":
            lengths = np.sqrt(rows.multiply(rows).sum(axis=1)).A1
            rows = sp.csr_matrix(sp.diags_array(1 / np.where(lengths > 0, lengths, 1), dtype=np.float32) @ rows)
        return rows

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) scores of pairs of texts, computed now."""
        each = np.arange(len(queries))
        left, right = self.encode(queries, "query"), self.encode(passages, "document")
        return row_products(left.astype(np.float64), right, each, each)

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The k best passages that share a term with the query, from the store where they are known.

        Ties go to the lower position.
        """
        query_positions, k = checked_search(queries, query_positions, k)
        fingerprint = self.fingerprint

        def search(rows: IntArray, depth: int) -> tuple[FloatArray, IntArray]:
            weights = self._of(queries, "query").rows(queries, query_positions[rows])
            return self._search(weights, corpus, depth)

        if self.store is None:
            scores, passages = search(np.arange(len(query_positions)), k)
        else:
            self.store.describe(fingerprint, self.name, self.kind)
            scores, passages = self.store.searches.get(fingerprint, queries, corpus, query_positions, k, search)
        return Retrieved(query_positions, passages, scores)

    def answer(self, queries: Texts, corpus: Texts, depth: int) -> Callable[[IntArray], object]:
        """Encodes the queries and searches, whatever the store holds."""
        return lambda batch: self._search(self.encode(queries.take(batch), "query"), corpus, depth)

    def _search(self, weights: sp.csr_matrix, corpus: Texts, k: int) -> tuple[FloatArray, IntArray]:
        index = self._of(corpus, "document").index(corpus)
        return index.search(weights.astype(np.float64), k, f"Searching with {self.name}")

    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        distinct_queries, query_of = np.unique(query_positions, return_inverse=True)
        distinct_passages, passage_of = np.unique(passage_positions, return_inverse=True)
        left = self._of(queries, "query").rows(queries, distinct_queries)
        right = self._of(corpus, "document").rows(corpus, distinct_passages)
        return row_products(left.astype(np.float64), right, query_of, passage_of)

    def _of(self, texts: Texts, role: Role) -> _Encoded:
        """What is known of a table in a role; nothing after the model has changed."""
        fingerprint = self.fingerprint
        if self._encoded is None or self._encoded[0] != fingerprint:
            self._encoded = (fingerprint, WeakKeyDictionary())
        of_table = self._encoded[1].setdefault(texts, {})
        if role not in of_table:
            of_table[role] = _Encoded(texts, partial(self.encode, role=role), f"Encoding with {self.name}")
        return of_table[role]

    def _encode(self, encode: Callable[..., torch.Tensor], texts: list[str]) -> sp.csr_matrix:
        order: list[IntArray] = []
        parts: list[sp.csr_matrix] = []

        def compute(batch: IntArray) -> torch.Tensor:
            return encode([texts[index] for index in batch], batch_size=len(batch), show_progress_bar=False)

        for batch, found in self._computed(estimated_tokens(texts, self._frozen.max_length), compute):
            order.append(batch)
            parts.append(_scipy(found))
        if not parts:
            return _scipy(torch.zeros(0, self.dimension).to_sparse())
        return _stacked(parts, np.argsort(np.concatenate(order)))

    @staticmethod
    def _ready(model: SparseEncoder, prompts: Mapping[str, str]) -> None:
        HostModelScorer._ready(model, prompts)
        for module in model.modules():
            if isinstance(module, SpladePooling):
                # It notes this when it first computes, and is another to a fingerprint from then on.
                module.embedding_dimension = model.transformers_model.config.get_text_config().vocab_size

    def _checked(self, model: SparseEncoder) -> SparseEncoder:
        if model.similarity_fn_name not in ("cosine", "dot"):
            raise InputError(
                expected="a sparse encoder whose similarity is the inner product or the cosine",
                got=f"{self.name} with {model.similarity_fn_name!r}",
                consequence="an inverted index would find another ranking than the model's",
                remedy="load it with similarity_fn_name='dot' or 'cosine' if it was trained for one of them",
            )
        return model


class _Encoded:
    """Weights of terms of the texts of a table, encoded in fixed blocks of distinct texts.

    What is encoded together depends on the table alone: a text's weights are the same to the last bit whichever texts
    are asked for first.

    Args:
        texts: The table.
        encode: Texts -> (n, V) weights.
        label: What the progress bar says.
    """

    def __init__(self, texts: Texts, encode: Callable[[list[str]], sp.csr_matrix], label: str) -> None:
        self._encode, self._label = encode, label
        first, number = np.unique(text_keys(texts), return_index=True, return_inverse=True)[1:]
        order = np.argsort(first)
        self._first = first[order]  # (U,) where each distinct text first stands, ascending
        self._number = np.argsort(order)[number]  # (n,) which of them each text is
        self._blocks: dict[int, sp.csr_matrix] = {}
        self._index: InvertedIndex | None = None

    def rows(self, texts: Texts, positions: IntArray) -> sp.csr_matrix:
        """(n, V) weights of the texts at these positions."""
        if self._index is not None:
            return self._index.by_passage[positions]
        numbers = self._number[positions]
        block_of = numbers // BLOCK
        blocks = np.unique(block_of)
        self._fill(texts, blocks)
        order = np.argsort(block_of, kind="stable")
        parts = [self._blocks[block][numbers[block_of == block] % BLOCK] for block in blocks.tolist()]
        return _stacked(parts, np.argsort(order))

    def index(self, texts: Texts) -> InvertedIndex:
        """All texts of the table, to be searched."""
        if self._index is None:
            blocks = range(-(-len(self._first) // BLOCK))
            self._fill(texts, np.asarray(blocks))
            whole = sp.vstack([self._blocks[block] for block in blocks], format="csr")
            repeated = len(self._first) < len(texts)
            self._index = InvertedIndex((whole[self._number] if repeated else whole).tocsc())
            self._blocks.clear()
        return self._index

    def _fill(self, texts: Texts, blocks: IntArray) -> None:
        missing = [block for block in blocks.tolist() if block not in self._blocks]
        with progress(self._label, len(missing) * BLOCK, "texts") as bar:
            for group in at_once(missing, processes().width(self._encode)):
                units = [(texts.take(self._first[block * BLOCK : (block + 1) * BLOCK]),) for block in group]
                self._blocks |= dict(zip(group, processes().map(self._encode, units)))
                bar.update(BLOCK * len(group))


def _scipy(rows: torch.Tensor) -> sp.csr_matrix:
    """A sparse tensor of the host, in float32."""
    rows = rows.cpu().coalesce()
    entries: Any = rows.values().float().numpy(), rows.indices().numpy()
    return sp.csr_matrix(entries, shape=(rows.shape[0], rows.shape[1]), dtype=np.float32)


def _stacked(parts: list[sp.csr_matrix], order: IntArray) -> sp.csr_matrix:
    """The rows of all parts, one behind the other, in this order."""
    rows: sp.csr_matrix = sp.vstack(parts, format="csr")[order]
    return rows


def _text_of(texts: list[str], rows: sp.csr_matrix, entry: int) -> str:
    return f"the text {texts[int(np.searchsorted(rows.indptr, entry, side='right')) - 1][:80]!r}"
