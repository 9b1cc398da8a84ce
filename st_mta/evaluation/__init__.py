"""Measures on graded judgements, paired tests, and evaluators on the host's API."""

from __future__ import annotations

from st_mta.evaluation.benchmark_evaluator import BenchmarkEvaluator
from st_mta.evaluation.evaluator import CollectionEvaluator
from st_mta.evaluation.measures import MEASURES, evaluate_run, per_query
from st_mta.evaluation.reranking_evaluator import RerankingEvaluator
from st_mta.evaluation.scorer_quality import best_passages, evaluate_scorer, rerank
from st_mta.evaluation.significance import PairedTest, holm, paired_test
from st_mta.trec import read_run, write_run

__all__ = [
    "MEASURES",
    "BenchmarkEvaluator",
    "CollectionEvaluator",
    "PairedTest",
    "RerankingEvaluator",
    "best_passages",
    "evaluate_run",
    "evaluate_scorer",
    "holm",
    "paired_test",
    "per_query",
    "read_run",
    "rerank",
    "write_run",
]
