"""How a listwise loss compares student and targets: by an objective, with a weight for every query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from st_mta.errors import InputError
from st_mta.lookup import word_of
from st_mta.losses.batch import ListwiseBatch
from st_mta.losses.objectives import Objective
from st_mta.losses.objectives.chosen import OTHERS, POSITIVE, SCORES, Chosen, choose
from st_mta.losses.query_weights import QueryWeights, find_query_weights, uniform, weigh_queries
from st_mta.losses.shares import BatchShares
from st_mta.losses.similarity import mean_over

DEFAULT = "kl"


@dataclass(frozen=True)
class Pool:
    """The documents that a batch's queries can be compared with.

    Attributes:
        logits: (B, U) the student's.
        batch: With U documents, those of other processes among them where they are gathered.
        valid: (U,) bool, a valid candidate of some query, and the first of its copies.
    """

    logits: Tensor
    batch: ListwiseBatch
    valid: Tensor

    def others(self) -> tuple[Tensor, Tensor]:
        """Logits (B, 1, U) and a mask: the documents that a query neither lists nor has a positive judged with."""
        own = self.batch.over_documents(self.batch.listed)
        if self.batch.document_groups is not None:
            own = own | self.batch.judged_with(self.batch.over_documents(self.batch.positive))
        return self.logits[:, None], (self.valid & ~own)[:, None]


@dataclass(frozen=True)
class Comparison:
    """An objective and the weights of queries.

    Attributes:
        objective: As chosen.
        query_weights: The word or function.
        weigh: The function, or None where all queries weigh the same.
    """

    objective: Chosen
    query_weights: str | QueryWeights
    weigh: QueryWeights | None

    @property
    def of_teacher_alone(self) -> bool:
        """Whether assistants have no part in it."""
        return SCORES in self.objective.asks

    @property
    def wants_others(self) -> bool:
        """Whether it looks at documents beyond a query's own list."""
        return OTHERS in self.objective.asks

    @property
    def learned(self) -> nn.Module | None:
        """The objective, if it has weights of its own."""
        return self.objective.compute if isinstance(self.objective.compute, nn.Module) else None

    def values(self, student: Tensor, targets: Tensor, batch: ListwiseBatch, pool: Pool | None = None) -> Tensor:
        """(B, T) what the objective gives for the student's logits (B, 1, N) and targets (B, T, N)."""
        given: dict[str, Any] = {}
        if POSITIVE in self.objective.asks:
            given[POSITIVE] = batch.positive[:, None]
        if SCORES in self.objective.asks:
            given[SCORES] = batch.scores[:, :1]
        if self.wants_others and pool is not None:
            given[OTHERS] = pool.others()
        return self.objective.values(student, targets, batch.mask[:, None], given)

    def means(
        self,
        student: Tensor,
        targets: Tensor,
        batch: ListwiseBatch,
        shares: BatchShares,
        pool: Pool | None = None,
        *,
        first: bool = False,
    ) -> Tensor:
        """(T,) this process's share of the weighted means over queries; the first batch is looked at for mistakes."""
        values = self.values(student, targets, batch, pool)
        if first:
            self.objective.refuse_not_a_number(values.detach())
        if self.weigh is not None:
            lists = student.detach()[:, 0], targets[:, 0], batch.mask, batch.positive
            weights = weigh_queries(self.weigh, *lists, training=torch.is_grad_enabled(), first=first)
            values = values * weights.to(values)[:, None]
        return mean_over(values, batch.counts, shares.lists)

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, and what was learned."""
        config: dict[str, Any] = {"objective": self.objective.word}
        if self.objective.options:
            config["objective_options"] = dict(self.objective.options)
        if (describe := getattr(self.learned, "get_config_dict", None)) is not None:
            config["learned_objective"] = describe()
        if self.weigh is not None:
            config["query_weights"] = word_of(self.query_weights)
        return config


def comparison(
    objective: str | Objective | None,
    options: Mapping[str, Any] | None,
    query_weights: str | QueryWeights,
    *,
    divergence: str | Objective | None = None,
) -> Comparison:
    """What a loss was asked to compare by; ``divergence`` is the former name of ``objective``.

    Raises:
        InputError: If both are given, or one of the arguments means nothing.
    """
    if objective is not None and divergence is not None:
        raise InputError(
            expected="objective alone",
            got=f"objective={word_of(objective)!r} and divergence={word_of(divergence)!r}",
            remedy="leave divergence out, which is its former name",
        )
    named = objective if objective is not None else divergence
    weigh = find_query_weights(query_weights)
    chosen = choose(DEFAULT if named is None else named, options)
    return Comparison(chosen, query_weights, None if weigh is uniform else weigh)
