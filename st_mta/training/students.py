"""Builders of small students out of pretrained encoders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Router
from torch import nn
from transformers import PreTrainedModel

from st_mta.errors import InputError

DOCUMENTS = "documents"
"""Name of the training column of passages."""
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names of the prompt of ``encode_document``, the first that there is."""


def prune_layers(model: SentenceTransformer | str | Path, keep: Sequence[int]) -> SentenceTransformer:
    """Keeps some layers of an encoder and drops the others: a student that starts with its base's words.

    The saved result holds only modules of the host, so it loads anywhere without ``trust_remote_code``.

    Args:
        model: A SentenceTransformer (changed in place) or the name or folder of one.
        keep: Indices of the layers to keep, strictly ascending, counted from 0.

    Returns:
        The pruned model.

    Raises:
        InputError: If an index does not exist, the order is not ascending, or the encoder has no list of layers.
    """
    student = SentenceTransformer(str(model)) if isinstance(model, (str, Path)) else model
    backbone = student.transformers_model
    if backbone is None:
        raise InputError(
            expected="a student with a transformer inside",
            got=f"modules {[type(module).__name__ for module in student]}",
            remedy="leave the student's layers alone, or name a transformer model",
        )
    name, layers = _layer_list(backbone)
    _check_keep(keep, len(layers))
    backbone.set_submodule(name, nn.ModuleList(layers[index] for index in keep))
    backbone.config.num_hidden_layers = len(keep)
    _prune_per_layer_settings(backbone.config, keep, len(layers))
    return student


def set_dropout(student: SentenceTransformer, probability: float) -> None:
    """Sets every dropout of the student; off, training is faster and the soft targets regularise enough."""
    for module in student.modules():
        if isinstance(module, nn.Dropout):
            module.p = probability


def column_prompts(student: SentenceTransformer) -> dict[str, str]:
    """The student's own prompts by training column, as ``encode_query`` and ``encode_document`` choose them."""
    prompts = student.prompts or {}
    found = {
        "query": prompts.get("query"),
        DOCUMENTS: next((prompts[name] for name in DOCUMENT_PROMPTS if prompts.get(name)), None),
    }
    return {column: prompt for column, prompt in found.items() if prompt}


def routes_of(student: SentenceTransformer, router_mapping: dict[str, str] | None = None) -> dict[str, str]:
    """Training column -> route of an asymmetric student; by default each column takes the route of its role."""
    if router_mapping or not any(isinstance(module, Router) for module in student.children()):
        return dict(router_mapping or {})
    return {"query": "query", DOCUMENTS: "document"}


def collator_inputs(student: SentenceTransformer, router_mapping: dict[str, str] | None) -> dict[str, Any]:
    """What every collator of a run is made with, so that all trainings see texts alike."""
    return {"prompts": column_prompts(student), "router_mapping": routes_of(student, router_mapping)}


def set_prompts(student: SentenceTransformer, prompts: str | dict[str, str] | None) -> None:
    """Makes the ``prompts`` of training arguments the student's own, so that it is used as it is trained.

    Raises:
        InputError: If a prompt is for another column than "query" and "documents".
    """
    if not prompts:
        return
    by_column = dict.fromkeys(("query", DOCUMENTS), prompts) if isinstance(prompts, str) else prompts
    names = {"query": "query", DOCUMENTS: "document", **dict.fromkeys(DOCUMENT_PROMPTS, "document")}
    if unknown := sorted(by_column.keys() - names.keys()):
        raise InputError(
            expected=f"prompts for 'query' and {DOCUMENTS!r}",
            got=f"one for {unknown[0]!r}",
            remedy="rename it",
        )
    student.prompts = {**(student.prompts or {}), **{names[column]: text for column, text in by_column.items()}}


def _layer_list(backbone: PreTrainedModel) -> tuple[str, nn.ModuleList]:
    """The encoder's list of layers and its dotted name."""
    expected = backbone.config.num_hidden_layers
    for name, module in backbone.named_modules():
        if isinstance(module, nn.ModuleList) and len(module) == expected:
            return name, module
    raise InputError(
        expected=f"an encoder with a list of {expected} layers",
        got=type(backbone).__name__,
        remedy="prune the model by hand and pass the result as the student",
    )


def _check_keep(keep: Sequence[int], total: int) -> None:
    if keep and all(0 <= index < total for index in keep) and list(keep) == sorted(set(keep)):
        return
    raise InputError(
        expected=f"ascending layer indices between 0 and {total - 1}",
        got=f"{list(keep)}",
        remedy="for three layers spread over the depth give, for example, "
        f"{sorted({0, total // 2 - 1 if total > 2 else 0, total - 1})}",
    )


def _prune_per_layer_settings(config: object, keep: Sequence[int], total: int) -> None:
    """Shortens settings that hold one entry per layer (``layer_types`` of some encoders)."""
    layer_types = getattr(config, "layer_types", None)
    if isinstance(layer_types, list) and len(layer_types) == total:
        config.layer_types = [layer_types[index] for index in keep]  # type: ignore[attr-defined]
