"""Losses: one per file, each usable in any SentenceTransformerTrainer."""

from __future__ import annotations

from st_mta.losses.filter_schedule import FilterSchedule, set_filter_iteration
from st_mta.losses.filtered_contrastive import CachedFilteredContrastiveLoss, FilteredContrastiveLoss
from st_mta.losses.info_nce import info_nce
from st_mta.losses.listwise_kl import ListwiseKLLoss, listwise_kl
from st_mta.losses.loss_weights import KeepLossWeights
from st_mta.losses.multi_level import MultiLevelDistillationLoss
from st_mta.losses.word_level.attention_mse import AttentionMSELoss
from st_mta.losses.word_level.capture import capture
from st_mta.losses.word_level.hidden_state_mse import HiddenStateMSELoss

__all__ = [
    "AttentionMSELoss",
    "CachedFilteredContrastiveLoss",
    "FilterSchedule",
    "FilteredContrastiveLoss",
    "HiddenStateMSELoss",
    "KeepLossWeights",
    "ListwiseKLLoss",
    "MultiLevelDistillationLoss",
    "capture",
    "info_nce",
    "listwise_kl",
    "set_filter_iteration",
]
