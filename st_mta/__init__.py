"""Distils a teacher and its assistants into one small Sentence Transformers retriever."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:  # "as" tells type checkers that a name is public
    from st_mta.assistants.targets import AssistantTargets as AssistantTargets
    from st_mta.collections import from_dictionaries as from_dictionaries
    from st_mta.collections import load_collection as load_collection
    from st_mta.errors import InputError as InputError
    from st_mta.evaluation import BenchmarkEvaluator as BenchmarkEvaluator
    from st_mta.evaluation import CollectionEvaluator as CollectionEvaluator
    from st_mta.filters import DynamicFilter as DynamicFilter
    from st_mta.losses import AttentionMSELoss as AttentionMSELoss
    from st_mta.losses import CachedFilteredContrastiveLoss as CachedFilteredContrastiveLoss
    from st_mta.losses import CachedListwiseKLLoss as CachedListwiseKLLoss
    from st_mta.losses import EmbeddingDistillationLoss as EmbeddingDistillationLoss
    from st_mta.losses import ExitsLoss as ExitsLoss
    from st_mta.losses import FilteredContrastiveLoss as FilteredContrastiveLoss
    from st_mta.losses import HeadsLoss as HeadsLoss
    from st_mta.losses import HiddenStateMSELoss as HiddenStateMSELoss
    from st_mta.losses import LayerDistillationLoss as LayerDistillationLoss
    from st_mta.losses import ListwiseKLLoss as ListwiseKLLoss
    from st_mta.losses import ListwiseRerankerLoss as ListwiseRerankerLoss
    from st_mta.losses import MultiLevelDistillationLoss as MultiLevelDistillationLoss
    from st_mta.mining import mine as mine
    from st_mta.recipes.distill import DistillConfig as DistillConfig
    from st_mta.recipes.distill import distill as distill
    from st_mta.recipes.evaluate import evaluate_models as evaluate_models
    from st_mta.recipes.import_scores import import_scores as import_scores
    from st_mta.recipes.make_assistants import make_assistants as make_assistants
    from st_mta.recipes.make_teacher import make_teacher as make_teacher
    from st_mta.scorers import BM25 as BM25
    from st_mta.scorers import BiEncoderScorer as BiEncoderScorer
    from st_mta.scorers import CrossEncoderScorer as CrossEncoderScorer
    from st_mta.scorers import LateInteractionScorer as LateInteractionScorer
    from st_mta.scorers import StoredScores as StoredScores
    from st_mta.scorers import load_scorer as load_scorer
    from st_mta.scorers import with_view as with_view
    from st_mta.stores import Store as Store
    from st_mta.training.arguments import MultiAssistantTrainingArguments as MultiAssistantTrainingArguments
    from st_mta.training.students import prune_layers as prune_layers
    from st_mta.training.trainer import MultiAssistantTrainer as MultiAssistantTrainer
    from st_mta.training.vocabulary import prune_vocabulary as prune_vocabulary
    from st_mta.types import Candidates as Candidates
    from st_mta.types import Collection as Collection
    from st_mta.types import Qrels as Qrels
    from st_mta.types import Run as Run
    from st_mta.types import Scorer as Scorer

# Loaded at first use: the host takes seconds to import, and `st-mta --help` needs none of it.
_NAMES = {
    "assistants.targets": "AssistantTargets",
    "collections": "from_dictionaries load_collection",
    "errors": "InputError",
    "evaluation": "BenchmarkEvaluator CollectionEvaluator",
    "filters": "DynamicFilter",
    "losses": "AttentionMSELoss CachedFilteredContrastiveLoss CachedListwiseKLLoss EmbeddingDistillationLoss "
    "ExitsLoss FilteredContrastiveLoss HeadsLoss HiddenStateMSELoss LayerDistillationLoss ListwiseKLLoss "
    "ListwiseRerankerLoss MultiLevelDistillationLoss",
    "mining": "mine",
    "recipes.distill": "DistillConfig distill",
    "recipes.evaluate": "evaluate_models",
    "recipes.import_scores": "import_scores",
    "recipes.make_assistants": "make_assistants",
    "recipes.make_teacher": "make_teacher",
    "scorers": "BM25 BiEncoderScorer CrossEncoderScorer LateInteractionScorer StoredScores load_scorer with_view",
    "stores": "Store",
    "training.arguments": "MultiAssistantTrainingArguments",
    "training.students": "prune_layers",
    "training.trainer": "MultiAssistantTrainer",
    "training.vocabulary": "prune_vocabulary",
    "types": "Candidates Collection Qrels Run Scorer",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'st_mta' has no attribute {name!r}")
    return getattr(importlib.import_module(f"st_mta.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
