"""The model whose layers a word-level loss looks into: the teacher of the run, or the scorer that is named."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn

from st_mta.errors import InputError
from st_mta.scorers import AnnCur, BiEncoderScorer, CrossEncoderScorer, FusedScorer, ViewScorer
from st_mta.types import Scorer

KINDS = CrossEncoderScorer, BiEncoderScorer


def reading_model(scorers: Sequence[Scorer], name: str | None, loss: str) -> CrossEncoder | SentenceTransformer:
    """A model that reads texts for a loss; it shares the scorer's weights, which stay as they are.

    Args:
        scorers: Of the run, the teacher first.
        name: Of one of them; None for the teacher. Of a fusion the first part that has layers reads.
        loss: Its word, for messages.

    Raises:
        InputError: If there is no such scorer, or it has no layers.
    """
    chosen = [scorer for scorer in scorers if name in (None, scorer.name)][:1]
    model = next((_model(part) for scorer in chosen for part in _parts(scorer) if _layers(_model(part))), None)
    if model is not None:
        return _sharing(model)
    described = ", ".join(map(_described, chosen or scorers))
    raise InputError(
        expected=f"a model whose layers loss {loss!r} can look into: a cross-encoder or bi-encoder that reads the "
        f"student's own texts, as {'the teacher' if name is None else repr(name)}",
        got=described or "none",
        consequence="there would be nothing to compare the student's words with",
        remedy="name another teacher, or one of the assistants by loss_options={'reader': its name}, or take a loss "
        "over lists",
    )


def _described(scorer: Scorer) -> str:
    return f"{scorer.name} ({scorer.kind}{', reading a view' if isinstance(scorer, ViewScorer) else ''})"


def _parts(scorer: Scorer) -> Iterator[Scorer]:
    """The scorer, the parts of a fusion, or the one that searches by a factorisation."""
    if isinstance(scorer, AnnCur):
        scorer = scorer.scorer
    if not isinstance(scorer, FusedScorer):
        yield scorer
        return
    for part in scorer.parts:
        yield from _parts(part)


def _model(scorer: Scorer) -> Any:
    return scorer.model if isinstance(scorer, KINDS) else None


def _layers(model: Any) -> int:
    config = getattr(getattr(model, "transformers_model", None), "config", None)
    return int(getattr(config, "num_hidden_layers", 0) or 0)


def _sharing(model: Any) -> Any:
    """A copy whose weights are other parameters over the same numbers: frozen, they leave the user's model alone."""
    memo = {id(weight): nn.Parameter(weight.detach(), requires_grad=False) for weight in model.parameters()}
    return copy.deepcopy(model, memo)
