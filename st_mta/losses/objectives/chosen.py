"""An objective as a user chose it: the function behind its word, with the options given."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.lookup import find_function, spelled, word_of
from st_mta.losses.loss_options import options_beyond, typed_options
from st_mta.losses.objectives import DIVERGENCES, OBJECTIVES, Objective
from st_mta.losses.objectives.margins import margin_mse

POSITIVE, SCORES, OTHERS = "positive", "scores", "others"
GIVEN = {
    POSITIVE: "(..., N) bool, valid and relevant",
    SCORES: "(..., N) the teacher's raw scores; what asks for them is compared with the teacher alone",
    OTHERS: "logits (..., M) of the batch's documents that are no candidates of the query, and a mask (..., M)",
}
"""What an objective may ask for by keyword."""
IN_BATCH = "in_batch"
"""Option that says whether the others are wanted, where there is one."""


@dataclass(frozen=True)
class Chosen:
    """An objective with its options.

    Attributes:
        named: The word, or the user's function.
        options: As given, typed.
        compute: The function or module, with its options.
        asks: The keys of ``GIVEN`` that it asks for.
    """

    named: str | Objective
    options: Mapping[str, Any]
    compute: Callable[..., Any]
    asks: frozenset[str]

    @property
    def word(self) -> str:
        """As it is called in messages."""
        return word_of(self.named)

    @property
    def key(self) -> str:
        """As it is called in logs."""
        return self.word.rpartition(":")[2].replace("-", "_")

    @property
    def by_spread(self) -> bool:
        """Whether it matters to it how far apart the target's probabilities are, or might, as to a user's own."""
        return self.compute in (*DIVERGENCES.values(), margin_mse) or self.word not in OBJECTIVES

    @property
    def is_divergence(self) -> bool:
        """Whether it is one of the package's divergences."""
        return self.compute in DIVERGENCES.values()

    def values(self, student: Tensor, targets: Tensor, mask: Tensor, given: Mapping[str, Any]) -> Tensor:
        """(B, T) the value of every list from every target.

        Args:
            student: (B, 1, N) logits.
            targets: (B, T, N) log-probabilities.
            mask: (B, 1, N) bool.
            given: The keys of ``asks``, each (B, 1, ...).

        Raises:
            InputError: If the objective returns anything else.
        """
        lists = [each.expand_as(targets) for each in (student, mask)]
        more = {name: _expanded(value, targets.shape[1]) for name, value in given.items()}
        values = self.compute(lists[0], targets, lists[1], **more)
        if not isinstance(values, Tensor) or values.shape != targets.shape[:2]:
            raise InputError(
                expected=f"objective {self.word!r} to return one value per list, {tuple(targets.shape[:2])}",
                got=str(tuple(values.shape)) if isinstance(values, Tensor) else f"{values!r}, which is no tensor",
                remedy="sum over the last axis, that of the candidates, and over no other",
            )
        return values

    def refuse_not_a_number(self, values: Tensor) -> None:
        """Raises ``InputError`` if there is NaN among the values of the first batch."""
        if values.isnan().any():
            raise InputError(
                expected=f"numbers from objective {self.word!r}",
                got="NaN in the first batch",
                consequence="the first step would make every weight NaN",
                remedy="leave masked candidates out before taking logarithms or ratios (targets are -inf there)",
            )


def choose(objective: str | Objective, options: Mapping[str, Any] | None = None) -> Chosen:
    """The objective behind a word, a function, a class or a "module:name", with a user's options.

    Raises:
        InputError: If there is none, or an option is unknown or out of range.
    """
    objective = spelled(objective, OBJECTIVES)
    function = find_function("objective", objective, OBJECTIVES)
    is_module = isinstance(function, type) and issubclass(function, nn.Module)
    asks = frozenset(GIVEN) & _keywords(getattr(function, "forward", function))
    known, _ = options_beyond(function.__init__ if is_module else function, GIVEN)
    typed = typed_options("objective_options of objective", objective, known, options)
    if IN_BATCH in known and not typed.get(IN_BATCH, _default(function, IN_BATCH)):
        asks -= {OTHERS}
    compute = function(**typed) if is_module else partial(function, **typed) if typed else function
    chosen = Chosen(objective, typed, compute, asks)
    if typed and function in OBJECTIVES.values():
        _try(chosen)
    return chosen


def _keywords(function: Callable[..., Any]) -> frozenset[str]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:  # written in C, without a word on what it takes
        return frozenset()
    return frozenset(one.name for one in parameters if one.kind is one.KEYWORD_ONLY)


def _default(function: Callable[..., Any], name: str) -> Any:
    return inspect.signature(function).parameters[name].default


def _expanded(value: Any, targets: int) -> Any:
    if isinstance(value, tuple):
        return tuple(_expanded(one, targets) for one in value)
    return value.expand(-1, targets, -1)


@torch.no_grad()
def _try(chosen: Chosen) -> None:
    """Raises ``InputError`` for an option that is out of range: on one list, before any batch comes."""
    lists, yes = torch.zeros(1, 1, 2), torch.ones(1, 1, 2, dtype=torch.bool)
    given = {POSITIVE: yes, SCORES: lists, OTHERS: (lists, yes)}
    chosen.values(lists, lists.log_softmax(dim=-1), yes, {name: given[name] for name in chosen.asks})
