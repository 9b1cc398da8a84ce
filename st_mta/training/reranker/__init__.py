"""What differs in a run whose student is a cross-encoder: it reads pairs, re-ranks, and has no embeddings."""

from __future__ import annotations
