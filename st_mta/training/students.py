"""Builders of small students out of pretrained encoders."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.base.modules import Module, Router
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from transformers import PreTrainedConfig

from st_mta.backbones.layers import layer_list, put_back, set_layers
from st_mta.errors import InputError
from st_mta.processes import processes
from st_mta.scorers import load_any_student

Student = TypeVar("Student", SentenceTransformer, CrossEncoder)
DOCUMENTS = "documents"
"""Name of the training column of passages."""
DOCUMENT_PROMPTS = ("document", "passage", "corpus")
"""Names of the prompt of ``encode_document``, the first that there is."""
PROBES = ["a short text", "a longer text, to compare two models by in more than one place " * 8]


def prune_layers(model: SentenceTransformer | CrossEncoder | str | Path, keep: Sequence[int]) -> Any:
    """Keeps some layers of an encoder and drops the others: a student that starts with its base's words.

    The saved result holds only modules of the host, so it loads anywhere without ``trust_remote_code``.

    Args:
        model: A SentenceTransformer or CrossEncoder (changed in place), or the name or folder of one.
        keep: Indices of the layers to keep, strictly ascending, counted from 0.

    Returns:
        The pruned model, of the class of the whole one.

    Raises:
        InputError: If an index does not exist, the order is not ascending, the encoder has no list of layers, or what
            is left is another model once it is saved and loaded (in T5 and ModernBERT, layer 0 is built unlike the
            others).
    """
    student = load_any_student(model)
    backbone = student.transformers_model
    if backbone is None:
        raise InputError(
            expected="a student with a transformer inside",
            got=f"modules {[type(module).__name__ for module in student]}",
            remedy="leave the student's layers alone, or name a transformer model",
        )
    name, layers = layer_list(backbone)
    _check_keep(keep, len(layers))
    config = copy.deepcopy(backbone.config)
    set_layers(backbone, name, [layers[index] for index in keep], keep, len(layers))
    if not is_same_when_saved(student):
        put_back(backbone, name, layers, config)
        raise InputError(
            expected=f"layers of {type(backbone).__name__} that make the same model when it is saved and loaded",
            got=f"{list(keep)}, which do not",
            consequence="the student that is published would not be the one that was trained",
            remedy="keep layer 0, whose build differs from that of the others in some encoders",
        )
    return student


def spread_layers(kept: int, total: int) -> list[int]:
    """Indices of so many layers of an encoder, spread over its depth from the first to the last."""
    return [round(place * (total - 1) / max(1, kept - 1)) for place in range(kept)]


@contextmanager
def dropout_set(student: SentenceTransformer | CrossEncoder, probability: float | None) -> Iterator[None]:
    """Within it, every dropout of the student has this probability; off, soft targets regularise enough.

    Modules hold it, attributes of layers that apply it as a function, and in some models the configuration, which is
    read anew in every forward pass. Afterwards all are as they were, so that nothing of it is saved.

    Args:
        student: A model under training.
        probability: None leaves everything as it is.
    """
    before = [(thing, name, getattr(thing, name)) for thing, name in _dropouts(student)]
    try:
        if probability is not None:
            set_dropout(student, probability)
        yield
    finally:
        for thing, name, value in before:
            setattr(thing, name, value)


def set_dropout(student: SentenceTransformer | CrossEncoder, probability: float) -> None:
    """Sets every dropout of the student for good; see [`dropout_set`]."""
    for thing, name in list(_dropouts(student)):
        setattr(thing, name, probability)


@contextmanager
def cut_as_used(student: SentenceTransformer | CrossEncoder) -> Iterator[None]:
    """Within it, embeddings have the student's ``truncate_dim`` in training too; the host would give them whole."""
    dimension = getattr(student, "truncate_dim", None)  # a cross-encoder has none

    def cut(module: nn.Module, given: Any, features: dict[str, Any]) -> dict[str, Any]:
        return {**features, "sentence_embedding": features["sentence_embedding"][..., :dimension]}

    handle = None if dimension is None else student.register_forward_hook(cut)
    try:
        yield
    finally:
        if handle is not None:
            handle.remove()


def _dropouts(student: nn.Module) -> Iterator[tuple[Any, str]]:
    """Where the probabilities are: objects and the names of their attributes."""
    configs: dict[int, Any] = {}
    for module in student.modules():
        if isinstance(module, _DropoutNd) or "Dropout" in type(module).__name__:
            yield from (
                (module, name) for name in ("p", "drop_prob") if isinstance(getattr(module, name, None), float)
            )
        yield from ((module, name) for name, value in list(vars(module).items()) if _is_dropout(name, value))
        if isinstance(config := getattr(module, "config", None), PreTrainedConfig):
            configs[id(config)] = config
    for config in configs.values():
        yield from ((config, name) for name, value in list(vars(config).items()) if _is_dropout(name, value))


def _is_dropout(name: str, value: Any) -> bool:
    return "dropout" in name and isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 1


def column_prompts(student: SentenceTransformer) -> dict[str, str]:
    """The student's own prompts by training column, as ``encode_query`` and ``encode_document`` choose them."""
    prompts = student.prompts or {}
    found = {
        "query": prompts.get("query"),
        # The first that there is, though it be empty: the host gives every model an empty one for "document".
        DOCUMENTS: next((prompts[name] for name in DOCUMENT_PROMPTS if name in prompts), None),
    }
    return {column: prompt for column, prompt in found.items() if prompt}


def routes_of(
    student: SentenceTransformer | CrossEncoder, router_mapping: dict[str, str] | None = None
) -> dict[str, str]:
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


def _check_keep(keep: Sequence[int], total: int) -> None:
    if keep and all(0 <= index < total for index in keep) and list(keep) == sorted(set(keep)):
        return
    raise InputError(
        expected=f"ascending layer indices between 0 and {total - 1}",
        got=f"{list(keep)}",
        remedy="for three layers spread over the depth give, for example, "
        f"{sorted({0, total // 2 - 1 if total > 2 else 0, total - 1})}",
    )


def loaded_again(student: Student, folder: Path | str) -> Student:
    """A student as the host reads it from a folder it was saved in.

    Modules of the user's own are loaded by their classes, which have run in the student already.
    """
    kinds = {type(module).__module__.split(".")[0] for module in student.modules() if isinstance(module, Module)}
    trusted = bool(getattr(student, "trust_remote_code", False)) or not kinds <= {"sentence_transformers"}
    class_ = CrossEncoder if isinstance(student, CrossEncoder) else SentenceTransformer
    return class_(str(folder), device=str(student.device), trust_remote_code=trusted)


def answers(model: SentenceTransformer | CrossEncoder, texts: Sequence[str]) -> list[torch.Tensor]:
    """What a model makes of some texts: embeddings as queries and as documents, or logits of all pairs."""
    if isinstance(model, CrossEncoder):
        pairs = [(query, passage) for query in texts for passage in texts]
        logits = model.predict(pairs, activation_fn=nn.Identity(), show_progress_bar=False)
        return [torch.as_tensor(logits).float()]
    encoders = model.encode_query, model.encode_document
    return [torch.as_tensor(encode(list(texts), show_progress_bar=False)).float() for encode in encoders]


def is_same_when_saved(student: SentenceTransformer | CrossEncoder) -> bool:
    """Whether the host loads the model that it saved: a layer unlike those it makes in that place loses parts.

    Of several processes the first judges: in the others transformers writes no weights.
    """
    if not processes().leads:
        return True
    with tempfile.TemporaryDirectory() as folder:
        student.save_pretrained(folder)
        with torch.random.fork_rng(devices=[]):
            loaded = loaded_again(student, folder)
    ours, theirs = answers(student, PROBES), answers(loaded, PROBES)
    return all(torch.allclose(one, other, rtol=1e-3, atol=1e-4) for one, other in zip(ours, theirs))
