"""What kind of model a folder or Hub id holds, read from its configuration without loading it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sentence_transformers.util import load_file_path

MODEL_TYPES = {
    "SentenceTransformer": "bi-encoder",
    "CrossEncoder": "cross-encoder",
    "MultiVectorEncoder": "late-interaction",
    "ColBERT": "late-interaction",
    "SparseEncoder": "sparse",
}
"""The host's (and PyLate's) words, as saved with a model, and ours."""

MODULES = {"pylate": "late-interaction", "LogitScore": "cross-encoder", "sparse_encoder": "sparse"}
"""What the modules of a kind are called, where the model says nothing else."""
CAUSAL = ("ForCausalLM", "LMHeadModel")
"""How the classes of language models end that continue a text."""


def saved_kind(path: str) -> str | None:
    """The kind of the model in a folder or of a Hub id.

    Returns:
        "bi-encoder", "cross-encoder", "late-interaction" or "sparse"; the host's own word for a kind that is no scorer
        here; "backbone" for a bare transformer without a head for ranking, a language model among them; None if there
        is no configuration at all.
    """
    saved = saved_file(path, "config_sentence_transformers.json")
    if saved is not None and "model_type" in saved:
        return MODEL_TYPES.get(saved["model_type"], str(saved["model_type"]))
    if (modules := saved_file(path, "modules.json")) is not None:
        text = json.dumps(modules)
        return next((kind for word, kind in MODULES.items() if word in text), "bi-encoder")
    if (config := configuration(path)) is None:
        return None
    architectures = config.get("architectures") or [""]
    if architectures == ["HF_ColBERT"]:
        return "late-interaction"
    return "cross-encoder" if architectures[0].endswith("ForSequenceClassification") else "backbone"


def language_model(path: str) -> str | None:
    """Whether a model saved as a language model and as nothing else is "causal" or "seq2seq"; None for any other."""
    if saved_kind(path) != "backbone":
        return None
    config = configuration(path) or {}
    architecture = (config.get("architectures") or [""])[0]
    if architecture.endswith("ForConditionalGeneration"):
        return "seq2seq" if config.get("is_encoder_decoder") else "causal"
    return "causal" if architecture.endswith(CAUSAL) else None


def configuration(path: str) -> Any:
    """The configuration of the transformer in a folder or of a Hub id, None where there is none."""
    return saved_file(path, "config.json")


def saved_file(path: str, name: str) -> Any:
    """A JSON file of the model, None where there is none."""
    found = load_file_path(path, name)
    return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))
