"""Losses by the words users write: objectives, the host's losses, and the user's own as "module:function"."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer import SentenceTransformer
from torch import nn

from st_mta.errors import InputError
from st_mta.lookup import check_choice, find_function, spelled, word_of
from st_mta.losses.by_host import HOST, distill_kl_div, embed_distill, margin_mse, mnrl
from st_mta.losses.by_level import attention_mse, filtered_contrastive, heads, hidden_state_mse, lead, multi_level
from st_mta.losses.cached import CachedListwiseKLLoss
from st_mta.losses.embedding import EmbeddingDistillationLoss
from st_mta.losses.factory import (
    FACTORY,
    LOSS_OPTIONS,
    OBJECTIVE,
    SCALE_OF_CONTRASTIVE,
    LossFactory,
    LossTargets,
    parameters_of,
)
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.loss_options import options_beyond, typed_loss_options
from st_mta.losses.objectives import OBJECTIVES, Objective
from st_mta.losses.objectives.chosen import choose
from st_mta.losses.query_weights import UNIFORM, find_query_weights
from st_mta.losses.reranker import ListwiseRerankerLoss
from st_mta.losses.similarity import check_range

OF_RERANKERS = ("alpha", "scale", "contrastive_weight", "return_components", "objective_options", "query_weights")
"""Those of ``LOSS_OPTIONS`` that a loss over a cross-encoder's logits has."""


def embedding(
    student: SentenceTransformer,
    targets: LossTargets,
    *,
    regression_weight: float = 1.0,
    return_components: bool = False,
    terms: dict[str, float] | None = None,
    matryoshka_dims: list[int] | None = None,
    matryoshka_weights: list[float] | None = None,
) -> nn.Module:
    """``EmbeddingDistillationLoss`` to the embeddings that come with a positive ``regression_weight``.

    They are in the student's space already, so there is no map; the weight only has to be positive.
    """
    check_range("regression_weight of loss 'embedding'", regression_weight, regression_weight > 0, "positive")
    return EmbeddingDistillationLoss(
        student,
        terms=terms,
        map="none",
        matryoshka_dims=matryoshka_dims,
        matryoshka_weights=matryoshka_weights,
        return_components=return_components,
    )


def _listwise(named: str | Objective) -> Callable[..., nn.Module]:
    def make(
        student: SentenceTransformer | CrossEncoder,
        targets: LossTargets,
        *,
        objective: str | Objective | None = None,
        mini_batch_size: int | None = None,
        **options: Any,
    ) -> nn.Module:
        chosen = the_objective(named, objective)
        if isinstance(student, CrossEncoder):
            given = {name: options[name] for name in OF_RERANKERS if options.get(name) is not None}
            return ListwiseRerankerLoss(student, targets=targets, objective=chosen, **given)
        options |= {"targets": targets, "objective": chosen}
        if mini_batch_size is None:
            return ListwiseKLLoss(student, **options)
        return CachedListwiseKLLoss(student, mini_batch_size=mini_batch_size, **options)

    return make


def the_objective(loss: str | Objective, objective: str | Objective | None) -> str | Objective:
    """What a listwise loss compares by: what the loss is named after, unless that is the default.

    Raises:
        InputError: If there are two.
    """
    if objective is None or spelled(loss, OBJECTIVES) == spelled(objective, OBJECTIVES):
        return loss
    if loss != "kl":
        raise InputError(
            expected=f"one objective, such as that of loss {word_of(loss)!r}",
            got=f"objective {word_of(objective)!r} beside it",
            remedy="leave one of the two out",
        )
    return objective


LOSSES: dict[str, Callable[..., nn.Module]] = {
    **{word: _listwise(word) for word in OBJECTIVES},
    "margin-mse": margin_mse,
    "distill-kl-div": distill_kl_div,
    "embed-distill": embed_distill,
    "filtered-contrastive": filtered_contrastive,
    "attention-mse": attention_mse,
    "hidden-state-mse": hidden_state_mse,
    "multi-level": multi_level,
    "lead": lead,
    "heads": heads,
    "embedding": embedding,
    "mnrl": mnrl,
}
"""Every loss by the word users write, as ``(student, targets, **options) -> nn.Module``."""


def check_loss(word: str, chosen: Mapping[str, Any] | None = None) -> None:
    """Raises ``InputError`` as `find_loss` does; a function's module is imported, the function is not called.

    Args:
        word: Or "module:function".
        chosen: The ``loss_options``, which are checked against what the loss takes.
    """
    check_choice("loss", spelled(word, LOSSES), LOSSES, own=True)
    typed_loss_options(word, find_loss(word).options, chosen)


def check_objective(
    loss: str,
    objective: str | None,
    options: Mapping[str, Any] | None = None,
    query_weights: str | None = None,
) -> None:
    """Raises ``InputError`` unless a loss has such an objective, options of it, and weights of queries.

    Args:
        loss: Its word, or "module:function".
        objective: Word or "module:function"; None is that of the loss.
        options: The ``objective_options``.
        query_weights: Word or "module:function"; None is uniform.
    """
    given = {"objective": objective, "objective_options": options, "query_weights": query_weights}
    given = {name: value for name, value in given.items() if value is not None}
    if not given:
        return
    factory = find_loss(loss)
    for name in given.keys() - factory.supports:
        raise InputError(
            expected=f"a loss that compares lists by an objective, for {name}={given[name]!r}",
            got=f"loss {loss!r}, which does not",
            remedy="leave it out, or take the loss kl or multi-level",
        )
    choose(the_objective(factory.objective, objective), options)
    find_query_weights(query_weights or UNIFORM)


def find_loss(loss: str | Callable[..., Any]) -> LossFactory:
    """The factory behind a word, a "module:function", a function, or one of the host's classes in ``HOST``.

    A function with three required positional parameters is an objective ``(student_logits, target_log_probs, mask)``
    for ``ListwiseKLLoss``. One with two is a factory ``(student, targets) -> nn.Module``; the keyword parameters that
    it has beyond these (``alpha``, ..., or ``**options`` for all) are the options it supports; a required keyword
    parameter ``teacher`` gets a model with layers, and all others are for ``loss_options``.

    Raises:
        InputError: If there is no such loss, or it takes another number of arguments.
    """
    loss = HOST.get(loss, loss) if isinstance(loss, type) else spelled(loss, LOSSES)
    if isinstance(loss, nn.Module):
        raise InputError(
            expected="loss to be a word, a function or a class",
            got=f"a {type(loss).__name__} that is made already",
            consequence="it would train the model that it was made with, while every iteration trains a copy",
            remedy="give a function that makes it: loss=lambda student, targets: ...; for the losses of the host "
            f"{', '.join(one.__name__ for one in HOST)} give the class",
        )
    function = find_function("loss", loss, LOSSES)
    positional, keywords = parameters_of(function)
    if positional == OBJECTIVE:
        function, keywords = _listwise(loss), LOSS_OPTIONS
        return LossFactory(function, keywords, {SCALE_OF_CONTRASTIVE: float | None}, objective=loss)
    if positional != FACTORY:
        raise InputError(
            expected=f"loss {word_of(loss)!r} to take three arguments (student_logits, target_log_probs, mask), as "
            "an objective does, or two (student, targets), as a function that makes a loss does",
            got=f"{positional} required positional arguments",
            remedy="write one of the two, and give all other arguments a default; another loss of the host "
            "is wrapped by st_mta.losses.host.HostLoss",
        )
    options, reads = options_beyond(function, LOSS_OPTIONS)
    if SCALE_OF_CONTRASTIVE in keywords:
        options = {**options, SCALE_OF_CONTRASTIVE: float | None}
    return LossFactory(function, keywords, options, reads, loss if loss in OBJECTIVES else "kl")
