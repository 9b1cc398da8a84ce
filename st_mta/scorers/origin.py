"""Which model of the Hub, in which revision, a loaded model is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypedDict

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder


class HubOrigin(TypedDict):
    """A model's id and commit on the Hub; both None for a model that did not come from there."""

    hub_id: str | None
    revision: str | None


def hub_origin(model: Any) -> HubOrigin:
    """The Hub id and commit that a host model was loaded from, as its own configuration tells; asks no network."""
    config = getattr(model, "config", None)
    # Only what came through the Hub's cache has a commit. (The card's base_model would name a trained model's base.)
    name, commit = getattr(config, "_name_or_path", None), getattr(config, "_commit_hash", None)
    if not (name and commit and is_hub_id(name)):
        return {"hub_id": None, "revision": None}
    return {"hub_id": str(name), "revision": str(commit)}


def is_hub_id(name: str) -> bool:
    """Whether a name can be an id on the Hub and is no folder here."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return not Path(name).exists()


def num_layers(model: SentenceTransformer | CrossEncoder | MultiVectorEncoder | SparseEncoder) -> int | None:
    """The number of transformer layers, or None where the model has no transformer."""
    backbone = model.transformers_model
    return getattr(getattr(backbone, "config", None), "num_hidden_layers", None)
