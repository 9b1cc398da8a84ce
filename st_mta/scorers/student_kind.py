"""What can be a student: a bi-encoder, or a bare encoder. All else is refused before its weights are read."""

from __future__ import annotations

from typing import Any

from sentence_transformers import CrossEncoder, MultiVectorEncoder, SentenceTransformer, SparseEncoder
from transformers import PreTrainedModel

from st_mta.errors import InputError
from st_mta.scorers.saved_kind import language_model, saved_file, saved_kind

OF_ITS_BACKBONE = (
    "give it as teacher or assistant; a student of its backbone is made by "
    "model = SentenceTransformer(modules=[t := Transformer({name!r}), Pooling(t.get_embedding_dimension(), 'mean')])"
)
REMEDIES = {
    "cross-encoder": OF_ITS_BACKBONE,
    "late-interaction": OF_ITS_BACKBONE,
    "sparse": "give it as teacher or assistant; for a student name a bi-encoder or a bare encoder",
    "language model": (
        "make a bi-encoder of it in three lines, and name its folder: "
        "t = Transformer({name!r}, processor_kwargs={{'padding_side': 'left'}}); "
        "model = SentenceTransformer(modules=[t, Pooling(t.get_embedding_dimension(), 'lasttoken'), Normalize()]); "
        "model.save_pretrained('student')"
    ),
    "adapter": (
        "load its base and put it in: model = SentenceTransformer({base!r}); model.load_adapter({name!r}); "
        "model.set_adapter(model.active_adapters()), and pass model as the student"
    ),
}
"""What to do with a model that is no student, by its kind."""
CONSEQUENCES = {
    "cross-encoder": "its backbone would be read with a pooling that it was never trained for",
    "late-interaction": "its vectors of tokens would be read with a pooling that it was never trained for",
    "language model": "a pooling would be chosen for it that nobody asked for",
}
CLASSES = {CrossEncoder: "cross-encoder", MultiVectorEncoder: "late-interaction", SparseEncoder: "sparse"}


def refuse_other_objects(model: Any) -> None:
    """Raises ``InputError`` for an object that is no ``SentenceTransformer``."""
    kind = next((kind for class_, kind in CLASSES.items() if isinstance(model, class_)), None)
    if kind is not None or not isinstance(model, SentenceTransformer):
        name = str(getattr(getattr(model, "config", None), "_name_or_path", "") or "its folder")
        raise _refusal(f"a {type(model).__name__}", kind, name)


def refuse_other_folders(spec: str, path: str) -> None:
    """Raises ``InputError`` for a folder or Hub id that holds something else than a student, from its JSON alone.

    Args:
        spec: As the user named it.
        path: Where that is.
    """
    kind = saved_kind(path)
    adapter = saved_file(path, "adapter_config.json") if kind is None else None
    if adapter is not None:
        base = str(adapter.get("base_model_name_or_path"))
        raise _refusal(f"{spec}, an adapter without its model {base}", "adapter", path, base)
    if language_model(path) == "causal":
        raise _refusal(f"{spec}, a bare language model", "language model", path)
    if kind not in ("bi-encoder", "backbone", None):
        raise _refusal(f"{spec}, saved as a {kind}", kind, path)


def train_adapters(model: SentenceTransformer) -> SentenceTransformer:
    """The model, in place, with the adapters under training that it was saved with; the host loads them frozen."""
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and getattr(module, "peft_config", None):
            module.set_adapter(module.active_adapters())
    return model


def _refusal(got: str, kind: str | None, name: str, base: str = "") -> InputError:
    return InputError(
        expected="a student that encodes texts: a bi-encoder, or a bare encoder",
        got=got,
        consequence=CONSEQUENCES.get(kind or "", ""),
        remedy=REMEDIES.get(kind or "", "name or pass a SentenceTransformer").format(name=name, base=base),
    )
