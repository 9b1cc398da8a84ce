"""Distils a teacher and its assistants into one small Sentence Transformers retriever."""

from __future__ import annotations

__version__ = "0.1.0"

from st_mta.assistants.targets import AssistantTargets
from st_mta.collections import from_dictionaries, load_collection
from st_mta.errors import InputError
from st_mta.evaluation import CollectionEvaluator
from st_mta.losses import ListwiseKLLoss
from st_mta.mining import mine
from st_mta.scorers import BM25, BiEncoderScorer, CrossEncoderScorer, LateInteractionScorer, StoredScores, load_scorer
from st_mta.stores import Store
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.compare import evaluate_models
from st_mta.training.distill import DistillConfig, distill
from st_mta.training.students import prune_layers
from st_mta.training.trainer import MultiAssistantTrainer
from st_mta.types import Candidates, Collection, Qrels, Run, Scorer

__all__ = [
    "BM25",
    "AssistantTargets",
    "BiEncoderScorer",
    "Candidates",
    "Collection",
    "CollectionEvaluator",
    "CrossEncoderScorer",
    "DistillConfig",
    "InputError",
    "LateInteractionScorer",
    "ListwiseKLLoss",
    "MultiAssistantTrainer",
    "MultiAssistantTrainingArguments",
    "Qrels",
    "Run",
    "Scorer",
    "Store",
    "StoredScores",
    "distill",
    "evaluate_models",
    "from_dictionaries",
    "load_collection",
    "load_scorer",
    "mine",
    "prune_layers",
]
