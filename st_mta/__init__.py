"""Distils a teacher and its assistants into one small Sentence Transformers retriever."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from st_mta.assistants.targets import AssistantTargets
    from st_mta.collections import from_dictionaries, load_collection
    from st_mta.errors import InputError
    from st_mta.evaluation import BenchmarkEvaluator, CollectionEvaluator
    from st_mta.filters import DynamicFilter
    from st_mta.losses import (
        AttentionMSELoss,
        FilteredContrastiveLoss,
        HiddenStateMSELoss,
        ListwiseKLLoss,
        MultiLevelDistillationLoss,
    )
    from st_mta.mining import mine
    from st_mta.recipes.distill import DistillConfig, distill
    from st_mta.recipes.evaluate import evaluate_models
    from st_mta.recipes.make_assistants import make_assistants
    from st_mta.recipes.make_teacher import make_teacher
    from st_mta.scorers import (
        BM25,
        BiEncoderScorer,
        CrossEncoderScorer,
        LateInteractionScorer,
        StoredScores,
        load_scorer,
    )
    from st_mta.stores import Store
    from st_mta.training.arguments import MultiAssistantTrainingArguments
    from st_mta.training.students import prune_layers
    from st_mta.training.trainer import MultiAssistantTrainer
    from st_mta.types import Candidates, Collection, Qrels, Run, Scorer

# Loaded at first use: the host takes seconds to import, and `st-mta --help` needs none of it.
_HOMES = {
    "AssistantTargets": "st_mta.assistants.targets",
    "AttentionMSELoss": "st_mta.losses",
    "BenchmarkEvaluator": "st_mta.evaluation",
    "BiEncoderScorer": "st_mta.scorers",
    "BM25": "st_mta.scorers",
    "Candidates": "st_mta.types",
    "Collection": "st_mta.types",
    "CollectionEvaluator": "st_mta.evaluation",
    "CrossEncoderScorer": "st_mta.scorers",
    "distill": "st_mta.recipes.distill",
    "DistillConfig": "st_mta.recipes.distill",
    "DynamicFilter": "st_mta.filters",
    "evaluate_models": "st_mta.recipes.evaluate",
    "FilteredContrastiveLoss": "st_mta.losses",
    "from_dictionaries": "st_mta.collections",
    "HiddenStateMSELoss": "st_mta.losses",
    "InputError": "st_mta.errors",
    "LateInteractionScorer": "st_mta.scorers",
    "ListwiseKLLoss": "st_mta.losses",
    "load_collection": "st_mta.collections",
    "load_scorer": "st_mta.scorers",
    "mine": "st_mta.mining",
    "MultiAssistantTrainer": "st_mta.training.trainer",
    "MultiAssistantTrainingArguments": "st_mta.training.arguments",
    "MultiLevelDistillationLoss": "st_mta.losses",
    "make_assistants": "st_mta.recipes.make_assistants",
    "make_teacher": "st_mta.recipes.make_teacher",
    "prune_layers": "st_mta.training.students",
    "Qrels": "st_mta.types",
    "Run": "st_mta.types",
    "Scorer": "st_mta.types",
    "Store": "st_mta.stores",
    "StoredScores": "st_mta.scorers",
}

__all__ = [
    "AssistantTargets",
    "AttentionMSELoss",
    "BenchmarkEvaluator",
    "BiEncoderScorer",
    "BM25",
    "Candidates",
    "Collection",
    "CollectionEvaluator",
    "CrossEncoderScorer",
    "distill",
    "DistillConfig",
    "DynamicFilter",
    "evaluate_models",
    "FilteredContrastiveLoss",
    "from_dictionaries",
    "HiddenStateMSELoss",
    "InputError",
    "LateInteractionScorer",
    "ListwiseKLLoss",
    "load_collection",
    "load_scorer",
    "mine",
    "MultiAssistantTrainer",
    "MultiAssistantTrainingArguments",
    "MultiLevelDistillationLoss",
    "make_assistants",
    "make_teacher",
    "prune_layers",
    "Qrels",
    "Run",
    "Scorer",
    "Store",
    "StoredScores",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'st_mta' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
