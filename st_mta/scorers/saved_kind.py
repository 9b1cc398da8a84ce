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
}
"""The host's (and PyLate's) words, as saved with a model, and ours."""


def saved_kind(path: str) -> str | None:
    """The kind of the model in a folder or of a Hub id.

    Returns:
        "bi-encoder", "cross-encoder" or "late-interaction"; the host's own word for a kind that is no scorer here
        ("SparseEncoder"); "backbone" for a bare transformer without a head for ranking; None if there is no
        configuration at all.
    """
    saved = _read(path, "config_sentence_transformers.json")
    if saved is not None and "model_type" in saved:
        return MODEL_TYPES.get(saved["model_type"], str(saved["model_type"]))
    if (modules := _read(path, "modules.json")) is not None:
        return "late-interaction" if "pylate" in json.dumps(modules) else "bi-encoder"
    if (config := _read(path, "config.json")) is None:
        return None
    architectures = config.get("architectures") or [""]
    if architectures == ["HF_ColBERT"]:
        return "late-interaction"
    return "cross-encoder" if architectures[0].endswith("ForSequenceClassification") else "backbone"


def _read(path: str, name: str) -> Any:
    """A JSON file of the model, None where there is none."""
    found = load_file_path(path, name)
    return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))
