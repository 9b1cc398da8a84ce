"""A cross-encoder as a student: one that has a head for relevance, or any encoder with a new one."""

from __future__ import annotations

import torch
from sentence_transformers import CrossEncoder

from st_mta.errors import InputError
from st_mta.scorers.saved_kind import language_model, saved_kind
from st_mta.scorers.weights import whole_weights

RERANKER_PREFIX = "cross-encoder:"
HEAD_SEED = 0
"""Of the weights of a new head: a run that is resumed makes the same student."""
OF_LANGUAGE_MODELS = ("LogitScore", "EncoderDecoder")
"""Modules that read a score off the words that a language model would write next."""
REMEDY = "give it as teacher or assistant; for a student name a cross-encoder of one output, or cross-encoder:ENCODER"


def new_reranker(spec: str, path: str, device: str | None = None) -> CrossEncoder:
    """The cross-encoder in a folder or of a Hub id; of an encoder without a head one with a new, random head.

    Args:
        spec: As the user named it.
        path: Where that is.
        device: Where to load it.

    Raises:
        InputError: If it lacks weights, has more than one output or is a language model.
    """
    if language_model(path) is not None:
        raise _refusal(f"{spec}, a bare language model")
    if saved_kind(path) == "cross-encoder":
        with whole_weights(spec):
            return checked_reranker(CrossEncoder(path, device=device), spec)
    with torch.random.fork_rng():
        torch.manual_seed(HEAD_SEED)
        return checked_reranker(CrossEncoder(path, num_labels=1, device=device), spec)


def checked_reranker(model: CrossEncoder, name: str = "") -> CrossEncoder:
    """The model; raises ``InputError`` for one that cannot be trained on lists."""
    if model.num_labels != 1:
        raise _refusal(f"{name or 'one'} with {model.num_labels} outputs")
    if "message" in getattr(model[0], "modality_config", ()) or type(model[-1]).__name__ in OF_LANGUAGE_MODELS:
        # Behind the texts its prompt has words that cutting a batch of pairs would take away.
        raise _refusal(f"{name or 'one'} around a language model, which is asked by a prompt")
    return model


def _refusal(got: str) -> InputError:
    return InputError(expected="a cross-encoder whose head gives each pair one score", got=got, remedy=REMEDY)
