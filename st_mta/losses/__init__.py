"""Losses: one per file, each usable in any SentenceTransformerTrainer."""

from __future__ import annotations

from st_mta.losses.info_nce import info_nce
from st_mta.losses.listwise_kl import ListwiseKLLoss, listwise_kl

__all__ = ["ListwiseKLLoss", "info_nce", "listwise_kl"]
