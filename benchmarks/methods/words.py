"""The words that are compared, each by the training arguments in which it differs from plain KL."""

from __future__ import annotations

from typing import Any

KL = "kl"
WORDS: dict[str, dict[str, Any]] = {
    KL: {},
    "reverse-kl": {"objective": "reverse-kl"},
    "jensen-shannon": {"objective": "jensen-shannon"},
    "margin-mse": {"objective": "margin-mse"},
    "plackett-luce": {"objective": "plackett-luce"},
    "ranknet": {"objective": "ranknet"},
    "lambda": {"objective": "lambda"},
    "adr-mse": {"objective": "adr-mse"},
    "bce": {"objective": "bce"},
    "pearson": {"objective": "pearson"},
    "weights by confidence": {"query_weights": "confidence"},
    "weights by error": {"query_weights": "error"},
    "in-batch": {"candidates": "in-batch"},
    "assistants weigh half": {"alpha": 0.5},
}
