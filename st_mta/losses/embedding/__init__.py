"""Embedding distillation: a student's embeddings follow those of one or several bi-encoders, of whatever width.

``loss`` is the loss, ``terms`` what it compares (``relative`` the one of them that takes an algorithm). ``teachers``
are encoded once by ``labelling``, ``targets`` reads a batch's labels, and ``spaces`` brings both sides together by a
map that ``fitting`` feeds and ``map_files`` keeps.
"""

from __future__ import annotations

from st_mta.losses.embedding.loss import EmbeddingDistillationLoss
from st_mta.losses.embedding.map_files import read_map
from st_mta.losses.embedding.spaces import EmbeddingSpaces
from st_mta.losses.embedding.terms import TERMS, embedding_terms

__all__ = ["TERMS", "EmbeddingDistillationLoss", "EmbeddingSpaces", "embedding_terms", "read_map"]
