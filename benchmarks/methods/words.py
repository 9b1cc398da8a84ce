"""The words that are compared, each by the training arguments in which it differs from plain KL."""

from __future__ import annotations

from typing import Any

KL = "kl"
PLD = {"order": "positives-first", "weights": "confidence"}
CPRD = {"order": "negatives", "hardest": 4, "least": 0.02}
WORDS: dict[str, dict[str, Any]] = {
    KL: {},
    "reverse-kl": {"objective": "reverse-kl"},
    "jensen-shannon": {"objective": "jensen-shannon"},
    "margin-mse": {"objective": "margin-mse"},
    "plackett-luce (ListMLE)": {"objective": "plackett-luce"},
    "plackett-luce as PLD": {"objective": "plackett-luce", "objective_options": PLD},
    "plackett-luce as CPRD": {"objective": "plackett-luce", "objective_options": CPRD, "contrastive_weight": 1.0},
    "ranknet": {"objective": "ranknet"},
    "lambda": {"objective": "lambda"},
    "adr-mse": {"objective": "adr-mse"},
    "approx-ndcg": {"objective": "approx-ndcg"},
    "bce": {"objective": "bce"},
    "pearson": {"objective": "pearson"},
    "query weights: confidence": {"query_weights": "confidence"},
    "query weights: error": {"query_weights": "error"},
    "candidates: in-batch": {"candidates": "in-batch"},
    "assistants weigh half": {"alpha": 0.5},
    "regression beside": {"regression_weight": None},
}
