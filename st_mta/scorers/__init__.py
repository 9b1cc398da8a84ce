"""Teachers and assistants: one kind per file, all behind ``st_mta.types.Scorer``."""

from __future__ import annotations

from st_mta.scorers.bi_encoder import BiEncoderScorer
from st_mta.scorers.bm25 import BM25
from st_mta.scorers.cross_encoder import CrossEncoderScorer

__all__ = ["BM25", "BiEncoderScorer", "CrossEncoderScorer"]
