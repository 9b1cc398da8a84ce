"""A language model as a cross-encoder: asked whether the passage is relevant, and scored by its answer."""

from __future__ import annotations

import re
from typing import Any

from huggingface_hub import ModelCard
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from sentence_transformers.util import load_file_path
from transformers import AutoTokenizer

from st_mta.errors import InputError
from st_mta.scorers.cross_encoder import CrossEncoderScorer
from st_mta.scorers.encoder_decoder import EncoderDecoder
from st_mta.scorers.reranking_forms import FORMS, RerankingForm, answer_ids, find_form, form_named_in
from st_mta.scorers.saved_kind import configuration, language_model, saved_kind
from st_mta.stores import Store

ANSWERS = "yes", "no"


class LanguageModelReranker(CrossEncoderScorer):
    """Raw logits of a language model's answer to whether the passage is relevant: yes minus no.

    The model is made the host's CrossEncoder with its LogitScore, and scores as every cross-encoder does.

    Args:
        model: The model, or a Hub id or folder of one.
        name: Name for reports, by default the model's.
        store: Where scores are kept.
        form: How it is asked: a word of ``FORMS``, a ``RerankingForm``, or a mapping with prompt, true_token and
            false_token; None for what its name or its chat template says.
        options: As of [`CrossEncoderScorer`].

    Raises:
        InputError: If it is not clear how the model is to be asked, or the tokenizer does not know the answers.
    """

    def __init__(
        self, model: Any, name: str | None = None, store: Store | None = None, *, form: Any = None, **options: Any
    ) -> None:
        self._form = form
        super().__init__(model, name, store, **options)

    def _load(self, path: str, device: str | None) -> CrossEncoder:
        if saved_kind(path) == "cross-encoder":
            if self._form is not None:
                raise InputError(
                    expected="a form only for a bare language model",
                    got=f"{path}, saved as a cross-encoder",
                    remedy="leave the form out: the model was saved with its own",
                )
            return super()._load(path, device)
        return as_cross_encoder(path, self._form, device)


def as_cross_encoder(path: str, form: Any = None, device: str | None = None) -> CrossEncoder:
    """The host's CrossEncoder of a bare language model, ready to score, save or train.

    Args:
        path: A folder or Hub id of a causal or sequence-to-sequence model.
        form: As of [`LanguageModelReranker`].
        device: Where it runs.

    Raises:
        InputError: As of [`LanguageModelReranker`].
    """
    form = _form_of(path) if form is None else find_form(form)
    if language_model(path) == "seq2seq":
        first: Any = EncoderDecoder.of(path, form.prompt, form.instruction)
    else:
        # Without a form the model's own chat template asks.
        template = {} if form is None else {"processor_kwargs": {"chat_template": form.chat_template}}
        first = Transformer(path, transformer_task="text-generation", **template)
    answers = ANSWERS if form is None else (form.true_token, form.false_token)
    ids = answer_ids(first.tokenizer, *answers)
    return CrossEncoder(modules=[first, LogitScore(*ids)], device=device)


def _form_of(path: str) -> RerankingForm | None:
    """What the model's names say, None where its own chat template asks for a yes or no about query and document."""
    named = form_named_in(_names(path))
    if named is not None or (language_model(path) == "causal" and _asks_itself(path)):
        return named
    raise InputError(
        expected="a reranker",
        got=f"{path}, a bare language model that does not say how it was trained to judge a passage",
        consequence="it would be asked in words that mean nothing to it, and its scores would be noise",
        remedy=f"name its form: lm-reranker:{path}#FORM with one of {', '.join(FORMS)}; or, in Python, "
        "form={'prompt': ..., 'true_token': ..., 'false_token': ...}; where it is meant to encode texts instead, "
        "bi-encoder: before it says so, and a SentenceTransformer saved with its pooling is better",
    )


def _names(path: str) -> list[str]:
    """Names the model goes by: its own, that it was saved from, and its base models'."""
    saved = (configuration(path) or {}).get("_name_or_path")
    return [path, *([str(saved)] if saved else []), *_base_models(path)]


def _base_models(path: str) -> list[str]:
    card = load_file_path(path, "README.md")
    try:
        found = ModelCard.load(card, ignore_metadata_errors=True).data.base_model if card else None
    except (OSError, ValueError):
        return []
    return [str(name) for name in (found if isinstance(found, list) else [found]) if name]


def _asks_itself(path: str) -> bool:
    template = getattr(AutoTokenizer.from_pretrained(path), "chat_template", None)
    words = set(re.findall(r"\w+", template.lower())) if isinstance(template, str) else set()
    return words >= {"query", "document", *ANSWERS}
