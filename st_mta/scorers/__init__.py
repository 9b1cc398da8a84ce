"""Teachers and assistants: one kind per file, all behind ``st_mta.types.Scorer``."""

from __future__ import annotations

from st_mta.scorers.anncur import AnnCur
from st_mta.scorers.base import PairScorer
from st_mta.scorers.bi_encoder import BiEncoderScorer
from st_mta.scorers.bm25 import BM25
from st_mta.scorers.cross_encoder import CrossEncoderScorer
from st_mta.scorers.embedding import EmbeddingScorer
from st_mta.scorers.function import FunctionScorer
from st_mta.scorers.fused import FusedScorer
from st_mta.scorers.language_model import LanguageModelReranker
from st_mta.scorers.late_interaction import LateInteractionScorer
from st_mta.scorers.list_functions import ListFunctionScorer, PairwiseFunctionScorer
from st_mta.scorers.listwise import ListScorer
from st_mta.scorers.load import KINDS, load_any_student, load_scorer, load_student, model_path
from st_mta.scorers.options import ScorerOptions
from st_mta.scorers.preferences import PairwiseScorer
from st_mta.scorers.published import PublishedScores
from st_mta.scorers.reranking_forms import RerankingForm
from st_mta.scorers.sparse import SparseScorer
from st_mta.scorers.stored import StoredScores
from st_mta.scorers.view import EmbeddingView, ViewScorer, with_view

__all__ = [
    "BM25",
    "AnnCur",
    "KINDS",
    "BiEncoderScorer",
    "CrossEncoderScorer",
    "EmbeddingScorer",
    "EmbeddingView",
    "FunctionScorer",
    "FusedScorer",
    "LanguageModelReranker",
    "LateInteractionScorer",
    "ListFunctionScorer",
    "ListScorer",
    "PairScorer",
    "PairwiseFunctionScorer",
    "PairwiseScorer",
    "PublishedScores",
    "RerankingForm",
    "ScorerOptions",
    "SparseScorer",
    "StoredScores",
    "ViewScorer",
    "load_any_student",
    "load_scorer",
    "load_student",
    "model_path",
    "with_view",
]
