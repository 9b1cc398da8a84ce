"""A report with everything in it: real runs on an invented collection, compared query by query."""

from __future__ import annotations

import random

import numpy as np

from st_mta.collections import from_dictionaries
from st_mta.report.comparisons import compare_queries
from st_mta.report.score_distributions import score_distributions
from st_mta.scored import ScoredCandidates
from st_mta.types import Candidates
from tests.report.sample_report import sample_report

QUERIES, PASSAGES = 30, 60


def sample_collection():
    """Texts that would be markup if nobody escaped them."""
    corpus = {f"p{i}": f"Passage {i} <script>alert({i})</script> & more" for i in range(PASSAGES)}
    queries = {f"q{i}": f"What is <b>{i}</b> & why?" for i in range(QUERIES)}
    qrels = {f"q{i}": {f"p{i}": 2, f"p{i + 1}": 1, f"p{i + 2}": 0} for i in range(QUERIES)}
    return from_dictionaries("toy", corpus, queries, {"test": qrels})


def sample_runs():
    """Runs of a good teacher, a middling student and a poor beginner; 20 passages per query."""
    random_ = random.Random(0)

    def run(strength):
        found = {
            f"q{i}": {f"p{p}": random_.random() for p in random_.sample(range(PASSAGES), 20)} for i in range(QUERIES)
        }
        for i, passages in enumerate(found.values()):
            passages[f"p{i}"] = random_.random() * strength
        return found

    return {"teacher": run(3.0), "student": run(1.6), "student_before": run(0.9)}


def sample_scores():
    """Scores of the candidates of three iterations; a promoted student takes an assistant's place in the last."""
    random_ = np.random.default_rng(0)
    names = ("teacher", "minilm", "bm25")
    return [
        scored(
            scores=random_.normal([[5.0], [0.4], [12.0]], [[2.0], [0.1], [4.0]], (3, 200)).astype(np.float32),
            positive=random_.random(200) < 0.2,
            scorers=names if number < 2 else ("teacher", "iteration-01", "bm25"),
        )
        for number in range(3)
    ]


def scored(scores, positive, scorers=("teacher",)):
    """One query's candidates with (S, P) scores."""
    pairs = np.arange(len(positive))
    lists = Candidates(np.zeros(1, int), np.array([0, len(pairs)]), pairs, positive, np.zeros(len(pairs), int), ())
    return ScoredCandidates(lists, scores, scorers)


def full_report():
    """Every key of the schema."""
    report, runs, qrels = sample_report(), sample_runs(), sample_collection().qrels["test"]
    report["comparisons"] = [
        compare_queries(runs["student"], runs[name], qrels, name) for name in ("student_before", "teacher")
    ]
    report["score_distributions"] = score_distributions(sample_scores())
    report["serving"] = [
        {"name": "as trained", "queries": "student", "passages": "student", "dimension": 384, "precision": "float32",
         "bytes_per_passage": 1536.0, "ndcg@10": 0.431},
        {"name": "binary", "queries": "student", "passages": "student", "dimension": 384, "precision": "binary",
         "bytes_per_passage": 48.0, "ndcg@10": 0.387},
    ]  # fmt: skip
    report["kept"] = "iteration-01"
    report["loss"] = {"class": "st_mta.losses.listwise_kl.ListwiseKLLoss", "config": {"alpha": 0.6}, "citations": {}}
    report["iterations"][1]["filter_rate"] = 0.0312
    report["iterations"][2]["filter_rate"] = 0.0475
    report["iterations"][1]["relabelled_queries"] = 1204
    report["iterations"][1]["selected_over_steps"] = {
        "steps": [60, 125],
        "shares": {"minilm": [0.4, 0.05], "bm25": [0.05, 0.0], "bm25+minilm": [0.55, 0.95]},
    }
    report["stopped_early"] = {"num_iterations": 5, "in_vain": 1}
    return report
