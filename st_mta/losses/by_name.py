"""Losses by the words users write: objectives, the host's losses, and the user's own as "module:function"."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sentence_transformers import CrossEncoder
from sentence_transformers.sentence_transformer import SentenceTransformer
from sentence_transformers.sentence_transformer.losses import (
    DistillKLDivLoss,
    EmbedDistillLoss,
    MarginMSELoss,
    MultipleNegativesRankingLoss,
)
from sentence_transformers.util import SimilarityFunction
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.lookup import check_choice, find_function, spelled, word_of
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.by_level import attention_mse, filtered_contrastive, heads, hidden_state_mse, lead, multi_level
from st_mta.losses.cached import CachedListwiseKLLoss
from st_mta.losses.embedding import EmbeddingDistillationLoss
from st_mta.losses.host import HostLoss, Label, target_embeddings
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.loss_options import TEACHER, options_beyond, typed_loss_options
from st_mta.losses.objectives import OBJECTIVES, Objective
from st_mta.losses.objectives.chosen import choose
from st_mta.losses.query_weights import UNIFORM, find_query_weights
from st_mta.losses.reranker import ListwiseRerankerLoss
from st_mta.losses.similarity import check_range, resolve_similarity

LOSS_OPTIONS = frozenset(
    {
        "alpha",
        "scale",
        "contrastive_scale",
        "contrastive_weight",
        "regression_weight",
        "regression_terms",
        "regression_map",
        "candidates",
        "in_batch_filter",
        "mini_batch_size",
        "return_components",
        "objective",
        "objective_options",
        "query_weights",
    }
)
"""What a factory may be given by keyword."""

OF_RERANKERS = ("alpha", "scale", "contrastive_weight", "return_components", "objective_options", "query_weights")
"""Those of them that a loss over a cross-encoder's logits has."""

SCALE_OF_CONTRASTIVE = "contrastive_scale"
"""The one of them that no argument of a run names, so that a user may."""

OBJECTIVE, FACTORY = 3, 2
"""Positional arguments of the two kinds of functions that users may give."""


class LossTargets(Protocol):
    """What a loss needs of ``AssistantTargets``: raw scores (B, S, N) and a mask (B, N) to log-probabilities."""

    def __call__(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, T, N), the teacher's first."""

    def teacher(self, scores: Tensor, mask: Tensor) -> Tensor:
        """(B, N), the teacher's alone."""


@dataclass(frozen=True)
class LossFactory:
    """Makes a loss from a student and targets.

    Attributes:
        make: ``(student, targets, **options) -> nn.Module``.
        supports: The options of ``LOSS_OPTIONS`` that have an effect, read from the signature of ``make``.
        options: The further keyword parameters of ``make``, a user's to choose (``loss_options``), and their types.
        reads: Whether ``make`` takes a ``teacher``, a model whose layers the loss looks into.
        objective: By which lists are compared where a run names no other.
    """

    make: Callable[..., nn.Module]
    supports: frozenset[str]
    options: Mapping[str, Any] = field(default_factory=dict)
    reads: bool = False
    objective: str | Objective = "kl"

    def __call__(
        self,
        student: SentenceTransformer | CrossEncoder,
        targets: LossTargets,
        *,
        chosen: Mapping[str, Any] | None = None,
        teacher: nn.Module | None = None,
        **options: Any,
    ) -> nn.Module:
        """The loss.

        Args:
            student: The model to train.
            targets: Of the run.
            chosen: Values of ``options``, which also take the place of those that the run would give.
            teacher: For a loss that ``reads``.
            options: Of ``LOSS_OPTIONS``; those that it does not support are left out.
        """
        given = {name: options[name] for name in options if name in self.supports}
        reading = {TEACHER: teacher} if self.reads else {}
        return self.make(student, targets, **{**given, **reading, **(chosen or {})})


def margin_mse(student: SentenceTransformer, targets: LossTargets, *, scale: float | None = None) -> nn.Module:
    """The host's ``MarginMSELoss``: margins of the teacher's calibrated logits, divided by ``scale``.

    The student's margins are differences of its similarities, which for cosines are at most 2. Calibrated logits are
    on the scale of ``scale`` times these similarities; raw scores would ask for margins the student cannot reach.
    """
    _, factor = resolve_similarity(student, None, scale)
    similarity_fct = SimilarityFunction.to_similarity_pairwise_fn(student.similarity_fn_name)
    loss = MarginMSELoss(student, similarity_fct=similarity_fct)
    return HostLoss(student, loss=loss, label=_calibrated(targets, factor))


def distill_kl_div(student: SentenceTransformer, targets: LossTargets, *, scale: float | None = None) -> nn.Module:
    """The host's ``DistillKLDivLoss``: KL from the calibrated teacher alone, the student at the temperature 1 / scale.

    The host multiplies by that temperature squared.
    """
    _, factor = resolve_similarity(student, None, scale)
    similarity_fct = SimilarityFunction.to_similarity_pairwise_fn(student.similarity_fn_name)
    loss = DistillKLDivLoss(student, similarity_fct, student_temperature=1 / factor, teacher_temperature=1.0)
    return HostLoss(student, loss=loss, label=_calibrated(targets, 1.0))


def embed_distill(student: SentenceTransformer, targets: LossTargets, *, regression_weight: float = 1.0) -> nn.Module:
    """The host's ``EmbedDistillLoss`` by cosine, to the embeddings that come with a positive ``regression_weight``.

    Nothing stands beside it, so the weight only has to be positive.
    """
    check_range("regression_weight of loss 'embed-distill'", regression_weight, regression_weight > 0, "positive")
    return HostLoss(student, loss=EmbedDistillLoss(student, distance_metric="cosine"), label=target_embeddings)


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


def mnrl(student: SentenceTransformer, targets: LossTargets, *, contrastive_scale: float | None = None) -> nn.Module:
    """The host's ``MultipleNegativesRankingLoss``, from the judgements alone."""
    similarity_fct, scale = resolve_similarity(student, None, contrastive_scale)
    loss = MultipleNegativesRankingLoss(student, scale=scale, similarity_fct=similarity_fct)
    return HostLoss(student, loss=loss, label=None)


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

HOST: dict[type, str] = {
    MarginMSELoss: "margin-mse",
    DistillKLDivLoss: "distill-kl-div",
    EmbedDistillLoss: "embed-distill",
    MultipleNegativesRankingLoss: "mnrl",
}
"""The host's own classes, which name the same losses."""


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
    positional, keywords = _parameters(function)
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


def _parameters(function: Callable[..., Any]) -> tuple[int, frozenset[str]]:
    """How many positional arguments are required, and which of ``LOSS_OPTIONS`` are accepted by keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a word on what it takes
        return 0, frozenset()
    positional = sum(one.kind <= one.POSITIONAL_OR_KEYWORD and one.default is one.empty for one in parameters)
    if any(one.kind is one.VAR_POSITIONAL for one in parameters):
        positional = max(positional, FACTORY)
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return positional, LOSS_OPTIONS
    return positional, LOSS_OPTIONS & {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY}


def _calibrated(targets: LossTargets, scale: float) -> Label:
    """The teacher's calibrated logits in the unit of the student's similarities, up to a constant for each list."""

    def calibrated_teacher(batch: ListwiseBatch) -> Tensor:
        return targets.teacher(batch.scores, batch.mask) / scale

    return calibrated_teacher
