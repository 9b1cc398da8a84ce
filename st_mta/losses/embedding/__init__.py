"""Embedding distillation: a student's embeddings follow those of one or several bi-encoders, of whatever width.

``terms`` are what is compared, ``relative`` the one of them that takes an algorithm.
"""

from __future__ import annotations

from st_mta.losses.embedding.terms import TERMS, embedding_terms

__all__ = ["TERMS", "embedding_terms"]
