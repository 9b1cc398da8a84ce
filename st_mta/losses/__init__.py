"""Losses: one per file, each usable in any SentenceTransformerTrainer."""

from __future__ import annotations

from st_mta.losses.by_name import LOSSES, check_loss, find_loss
from st_mta.losses.cached import CachedListwiseKLLoss
from st_mta.losses.embedding import TERMS, EmbeddingDistillationLoss, embedding_terms
from st_mta.losses.filtered_contrastive import (
    CachedFilteredContrastiveLoss,
    FilteredContrastiveLoss,
    FilterSchedule,
    set_filter_iteration,
)
from st_mta.losses.heads import HeadsLoss
from st_mta.losses.host import HostLoss
from st_mta.losses.info_nce import info_nce
from st_mta.losses.layers import ExitsLoss, LayerDistillationLoss
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.loss_weights import KeepLossWeights
from st_mta.losses.multi_level import MultiLevelDistillationLoss
from st_mta.losses.objectives import DIVERGENCES, OBJECTIVES, listwise_kl
from st_mta.losses.query_weights import QUERY_WEIGHTS
from st_mta.losses.reranker import ListwiseRerankerLoss
from st_mta.losses.word_level import AttentionMSELoss, HiddenStateMSELoss, capture

__all__ = [
    "AttentionMSELoss",
    "CachedFilteredContrastiveLoss",
    "CachedListwiseKLLoss",
    "DIVERGENCES",
    "EmbeddingDistillationLoss",
    "ExitsLoss",
    "FilterSchedule",
    "FilteredContrastiveLoss",
    "HeadsLoss",
    "HiddenStateMSELoss",
    "HostLoss",
    "KeepLossWeights",
    "LOSSES",
    "LayerDistillationLoss",
    "ListwiseKLLoss",
    "ListwiseRerankerLoss",
    "MultiLevelDistillationLoss",
    "OBJECTIVES",
    "QUERY_WEIGHTS",
    "TERMS",
    "capture",
    "check_loss",
    "embedding_terms",
    "find_loss",
    "info_nce",
    "listwise_kl",
    "set_filter_iteration",
]
