"""A finished run's report as the trainer would make it, with invented numbers."""

from __future__ import annotations

from st_mta.report.schema import Iteration, ModelEntry, Report


def system(name: str, kind: str, ndcg: float, **more: object) -> ModelEntry:
    values = {"ndcg@10": ndcg, "mrr@10": ndcg + 0.031, "map": ndcg - 0.05, "recall@100": min(1.0, ndcg + 0.4)}
    entry = {"name": name, "kind": kind, "parameters": 0, "layers": None, "queries_per_second": 900.0, "reranks": None}
    return {**entry, **values, **more}  # type: ignore[typeddict-item]


def iteration(number: int, dev: float, selected: dict[str, float], promoted: str | None = None) -> Iteration:
    return {
        "iteration": number,
        "queries": 4000,
        "hard_queries": 0 if number == 0 else 812,
        "candidates_per_query": 15.7,
        "loss": {"first": 1.42 - 0.2 * number, "last": 0.91 - 0.1 * number},
        "selected": selected,
        "alpha": 0.6,
        "dev": {"ndcg@10": dev, "mrr@10": dev + 0.03, "map": dev - 0.04, "recall@100": dev + 0.4},
        "promoted": promoted,
        "pool": ["minilm", "bm25"],
        "temperatures": {"teacher": 1.9, "minilm": 0.04, "bm25": 3.1},
        "seconds": {"mine": 12.0, "score": 40.5, "train": 71.2, "evaluate": 3.3},
    }


def sample_report() -> Report:
    return {
        "collection": {
            "name": "pydocs",
            "passages": 5121,
            "queries": {"train": 4000, "dev": 300, "test": 400},
            "notes": ["3 empty passages were dropped.", "Queries are headings of the passages they were taken from."],
            "fingerprint": "0123456789abcdef0123456789abcdef",
        },
        "split": "test",
        "seed": 42,
        "versions": {"st-mta": "0.1.0", "sentence-transformers": "6.2.0", "torch": "2.13.0"},
        "device": "cpu",
        "precision": "bf16",
        "teacher": system(
            "cross-encoder/ms-marco-MiniLM-L6-v2",
            "cross-encoder",
            0.444,
            parameters=22_700_000,
            layers=6,
            queries_per_second=2.61,
            reranks="minilm",
        ),
        "student_before": system("student", "bi-encoder", 0.291, parameters=15_200_000, layers=2),
        "student": system("student", "bi-encoder", 0.431, parameters=15_200_000, layers=2, queries_per_second=1288.0),
        "assistants": [
            system("minilm", "bi-encoder", 0.432, parameters=22_700_000, layers=6, queries_per_second=411.0),
            system("bm25", "bm25", 0.401, queries_per_second=2900.0),
        ],
        "recovered": 0.431 / 0.444,
        "significance": {
            "measure": "ndcg@10",
            "baseline": "student_before",
            "difference": 0.14,
            "p_value": 0.0001,
            "confidence_interval": [0.112, 0.168],
            "wins": 219,
            "losses": 61,
            "ties": 120,
        },
        "regression": {
            "bi_encoders": ["minilm", "a model"],
            "weights": [0.75, 0.25],
            "map": "procrustes",
            "aligned_to": "minilm",
            "explained": 0.987,
        },
        "warm_up": {"regressed_to": "minilm", "steps": 1250, "seconds": 245.0, "dev_ndcg@10": 0.417},
        "iterations": [
            iteration(0, 0.426, {"minilm": 0.31, "bm25": 0.04, "bm25+minilm": 0.65}),
            iteration(1, 0.439, {"minilm": 0.22, "bm25": 0.03, "bm25+minilm": 0.75}, promoted="minilm"),
            iteration(2, 0.435, {"student-1": 0.55, "bm25+student-1": 0.45}),
        ],
        "best_iteration": 1,
        "development": {"teacher": 0.451, "minilm": 0.437, "bm25": 0.398, "student_before": 0.303},
        "compute": {
            "pairs_scored": 81_230,
            "pairs_reused": 45_411,
            "passages_encoded": 20_484,
            "passages_reused": 30_726,
            "queries_encoded": 9_400,
            "queries_reused": 4_700,
            "queries_searched": 8_200,
            "searches_reused": 7_900,
            "training_sequences": 201_000,
            "training_steps": 375,
            "seconds": {"warm-up": 245.0, "mine": 31.0, "score": 121.5, "train": 213.6, "evaluate": 14.0},
            "total_seconds": 640.2,
        },
    }
