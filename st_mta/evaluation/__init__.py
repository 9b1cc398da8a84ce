"""Measures on graded judgements, run files, paired tests, a host evaluator, reports and plots."""

from __future__ import annotations

from st_mta.evaluation.benchmark_evaluator import BenchmarkEvaluator
from st_mta.evaluation.evaluator import CollectionEvaluator
from st_mta.evaluation.measures import MEASURES, evaluate_run, per_query
from st_mta.evaluation.plots import plot_quality, plot_selection
from st_mta.evaluation.report import write_report
from st_mta.evaluation.runs import read_run, write_run
from st_mta.evaluation.schema import Report
from st_mta.evaluation.scorer_quality import evaluate_scorer, rerank
from st_mta.evaluation.significance import PairedTest, holm, paired_test
from st_mta.evaluation.table import console_table, markdown_table
from st_mta.evaluation.wording import summary_table, verdict

__all__ = [
    "MEASURES",
    "BenchmarkEvaluator",
    "CollectionEvaluator",
    "PairedTest",
    "Report",
    "console_table",
    "evaluate_run",
    "evaluate_scorer",
    "holm",
    "markdown_table",
    "paired_test",
    "per_query",
    "plot_quality",
    "plot_selection",
    "read_run",
    "rerank",
    "summary_table",
    "verdict",
    "write_report",
    "write_run",
]
