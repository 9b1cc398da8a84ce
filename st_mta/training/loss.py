"""The loss of a run: found by the word or function that names it, given the weights that the arguments name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sentence_transformers import CrossEncoder, SentenceTransformer
from torch import nn

from st_mta.assistants.selection import BANDIT
from st_mta.assistants.targets import AssistantTargets
from st_mta.errors import InputError
from st_mta.hub.losses import describe_loss
from st_mta.lookup import find_function, word_of
from st_mta.losses.embedding import EmbeddingSpaces
from st_mta.losses.embedding.spaces import TRAINED
from st_mta.losses.factory import LossFactory
from st_mta.losses.layers.exits import ExitsLoss, without_exits
from st_mta.losses.listwise import ListwiseKLLoss
from st_mta.losses.loss_options import READER, typed_loss_options
from st_mta.losses.scope import LIST
from st_mta.losses.similarity import resolve_similarity
from st_mta.scorers.identity import identity_of
from st_mta.training.arguments import MultiAssistantTrainingArguments
from st_mta.training.reader import reading_model
from st_mta.training.regression_weights import SELECTED
from st_mta.training.run_state import MakeLoss
from st_mta.training.settled import Settled
from st_mta.types import Scorer

SUPPORTED_BY = {"regression_to": "regression_map"}
"""Arguments that a loss supports by an option of another name."""
OF_OBJECTIVE = ("objective", "objective_options", "query_weights")
"""Arguments that a loss gets only where they are given: a user's own need not know them."""
FORMER = {"objective": "divergence"}
"""What ``ListwiseKLLoss`` called its parameters in runs that may still be resumed."""
CONTRASTIVE_WEIGHT = MultiAssistantTrainingArguments.contrastive_weight
"""The default, which a loss without such a term need not mind."""


def loss_of_run(
    factory: LossFactory,
    arguments: MultiAssistantTrainingArguments,
    settled: Settled,
    scorers: Sequence[Scorer] = (),
    loss: Any = None,
) -> MakeLoss:
    """Makes the loss of an iteration from its student and its targets.

    Args:
        factory: As [`st_mta.losses.by_name.find_loss`] gives it.
        arguments: Name the weights and the loss's own options.
        settled: What they leave open.
        scorers: Teacher and assistants, for a loss that looks into the layers of one of them.
        loss: Given instead of ``arguments.loss``, for messages.

    Raises:
        InputError: If the loss has no such options, or looks into layers and none of the scorers has any.
    """
    named = arguments.loss if loss is None else loss
    chosen = typed_loss_options(named, factory.options, arguments.loss_options)
    name = chosen.pop(READER, None) if factory.reads else None
    teacher = reading_model(scorers, name, word_of(named)) if factory.reads else None
    of_batch = options_of_batch(arguments)

    def make(
        student: SentenceTransformer | CrossEncoder,
        targets: AssistantTargets,
        regression_map: EmbeddingSpaces | None = None,
    ) -> nn.Module:
        contrastive_scale = None  # a cross-encoder's logits have the scale of its lists
        if not isinstance(student, CrossEncoder):
            _, contrastive_scale = resolve_similarity(student, None, arguments.scale)
        made = factory(
            student,
            targets,
            chosen=chosen,
            teacher=teacher,
            scale=targets.student_scale or arguments.scale,
            contrastive_scale=contrastive_scale,
            contrastive_weight=arguments.contrastive_weight,
            regression_weight=settled.regression_weight,
            regression_terms=arguments.regression_terms,
            regression_map=regression_map,
            return_components=True,
            **{name: value for name in OF_OBJECTIVE if (value := getattr(arguments, name)) is not None},
            **{"alpha": targets.alpha, **of_batch},
        )
        return made if arguments.exits is None else ExitsLoss(student, loss=made, exits=arguments.exits)

    return make


def options_of_batch(arguments: MultiAssistantTrainingArguments) -> dict[str, Any]:
    """What a loss is given of whole batches and their parts, where the arguments ask for it."""
    found: dict[str, Any] = {}
    if arguments.candidates != LIST:
        # The teacher alone has scores of all pairs of a batch; the filter is that of the lists.
        rule = arguments.false_negative_filter()
        found = {"candidates": arguments.candidates, "in_batch_filter": rule, "alpha": 1.0}
    if arguments.mini_batch_size is not None:
        found["mini_batch_size"] = arguments.mini_batch_size
    return found


def check_loss_supports(loss: nn.Module, factory: LossFactory, arguments: MultiAssistantTrainingArguments) -> None:
    """Refuses a loss that would not do what an argument says.

    Raises:
        InputError: If ``regression_weight``, ``regression_terms``, a trained ``regression_map``, ``alpha``,
            ``contrastive_weight``, ``scale``, ``candidates``, ``mini_batch_size``, ``objective``,
            ``objective_options`` or ``query_weights`` is given and the loss has no such thing, there is an
            ``alpha_end`` and it has no ``alpha``, or either is given and its objective has no use for assistants;
            or if the selection is a bandit that would not be told how the student does.
    """
    loss = without_exits(loss)
    given = {
        "regression_weight": bool(arguments.regression_weight),
        "regression_terms": arguments.regression_terms is not None,
        "regression_map": arguments.regression_map in TRAINED,
        "regression_to": arguments.regression_to == SELECTED,
        "alpha": arguments.alpha is not None,
        "contrastive_weight": arguments.contrastive_weight not in (0, CONTRASTIVE_WEIGHT),
        "scale": arguments.scale is not None,
        "candidates": arguments.candidates != LIST,
        "mini_batch_size": arguments.mini_batch_size is not None,
    }
    missing = [name for name, is_given in given.items() if is_given and not _has_weight(loss, factory, name)]
    # Having one of its own does not make a loss take another.
    missing += [name for name in OF_OBJECTIVE if getattr(arguments, name) is not None and name not in factory.supports]
    if arguments.alpha_end is not None and not hasattr(loss, "alpha"):
        missing += ["alpha_end"]
    _refuse_alpha_of_teacher_alone(loss, arguments)
    _refuse_unseen_bandit(loss, arguments)
    for name in missing:
        raise InputError(
            expected=f"a loss that supports {name}={getattr(arguments, name)}",
            got=f"{type(loss).__name__} without {name.removesuffix('_end')}",
            remedy="take the argument back, or build the loss with it",
        )


def _refuse_alpha_of_teacher_alone(loss: nn.Module, arguments: MultiAssistantTrainingArguments) -> None:
    given = {name: value for name in ("alpha", "alpha_end") if (value := getattr(arguments, name)) not in (None, 1)}
    part: Any = getattr(loss, "sentence", getattr(loss, "loss", loss))
    if given and getattr(part, "of_teacher_alone", False):
        raise InputError(
            expected=f"no alpha for objective {word_of(part.objective)!r}, which compares with the teacher alone",
            got=", ".join(f"{name}={value}" for name, value in given.items()),
            remedy="leave it out, or take another objective",
        )


def _refuse_unseen_bandit(loss: nn.Module, arguments: MultiAssistantTrainingArguments) -> None:
    """A bandit learns from what the loss tells it once for each batch."""
    part: Any = getattr(loss, "sentence", getattr(loss, "loss", loss))
    tells = isinstance(part, ListwiseKLLoss) and not part.of_teacher_alone and arguments.exits is None
    if arguments.selection == BANDIT and not tells:
        raise InputError(
            expected=f"the listwise loss, with assistants and without exits, for selection={BANDIT!r}",
            got=f"exits={arguments.exits}"
            if arguments.exits is not None
            else f"{type(part).__name__}, objective={getattr(part, 'objective', None)!r}, "
            f"candidates={arguments.candidates!r}",
            consequence="nothing would be learned about the metrics, or something wrong",
            remedy="take another selection, such as kl",
        )


def _has_weight(loss: nn.Module, factory: LossFactory, name: str) -> bool:
    """Whether the loss is made with it, or has one of its own."""
    return (
        SUPPORTED_BY.get(name, name) in factory.supports
        or (name == "scale" and "contrastive_scale" in factory.supports)
        or bool(getattr(loss, name, 0))
    )


def identity_of_loss(loss: nn.Module, given: Any = None) -> dict[str, Any]:
    """What tells a loss from another one: class, parameters, plain attributes, and the user's own function."""
    loss = without_exits(loss)  # the exits are an argument
    described = describe_loss(loss)
    own = identity_of(given) if callable(given) else None
    plain = {name: value for name, value in vars(loss).items() if _is_plain(value)}
    if isinstance(loss, ListwiseKLLoss):
        plain = _by_former_names(plain)
    config = _of_listwise(described["config"])
    return {"class": described["class"], "config": config, "attributes": plain, "function": own}


def _of_listwise(config: Any) -> Any:
    """The parameters of a loss and of those in it; those of ``ListwiseKLLoss``, known by these three, as formerly."""
    if not isinstance(config, dict):
        return config
    found = {name: _of_listwise(value) for name, value in config.items()}
    return _by_former_names(found) if {"objective", "alpha", "contrastive_scale"} <= found.keys() else found


def _by_former_names(named: dict[str, Any]) -> dict[str, Any]:
    return {FORMER.get(name, name): value for name, value in named.items()}


def identity_of_own_functions(arguments: MultiAssistantTrainingArguments, loss: Any = None) -> dict[str, str]:
    """Digests of the functions that are named as "module:function", by argument.

    Args:
        arguments: Of the run.
        loss: Given instead of ``arguments.loss``.
    """
    places = {
        "loss": arguments.loss if loss is None else loss,
        "objective": arguments.objective,
        "query_weights": arguments.query_weights,
        "fusion": arguments.fusion,
        "selection": arguments.selection,
    }
    return {
        name: identity_of(find_function(name, place, {}))
        for name, place in places.items()
        if isinstance(place, str) and ":" in place
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
