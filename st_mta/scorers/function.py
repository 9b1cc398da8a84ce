"""A service, or any function of the user's, as a scorer: everything is asked for once and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from st_mta.lookup import find_function, word_of
from st_mta.scorers.base import PairScorer
from st_mta.scorers.identity import identity_without_calling
from st_mta.scorers.through_store import ThroughStore, numbers_of
from st_mta.stores import Store, fingerprint_values, text_keys
from st_mta.types import FloatArray, IntArray, Texts

Answer = TypeVar("Answer")
PARAMETERS = "queries", "passages"
Function = Callable[[list[str], list[str]], Sequence[float]]


class AsksFunction(ThroughStore):
    """What scorers around a function share; stands before the class that says how it scores among the bases.

    Attributes:
        function: The function.
        version: What its answers depend on, in a word, or None.
    """

    divisible: tuple[
        str, ...
    ] = ()  # a service is asked by one process, and what it has answered is stored before it fails

    def _hold(self, function: Any, version: str | None) -> None:
        self.function = function
        self.version = version if version is not None else getattr(function, "version", None)
        # Once: a function may count its calls in what it holds.
        self._identity = (
            [identity_without_calling(self.function)] if self.version is None else [self.name, str(self.version)]
        )

    def _asked(self, call: Callable[[], Answer]) -> Answer:
        """What the function answers; whatever it raises becomes one message."""
        try:
            return call()
        except Exception as error:
            self._refuse(f"{type(error).__name__}: {' '.join(str(error).split())}", error)


class FunctionScorer(AsksFunction, PairScorer):
    """Scores of a function of texts: a service over the network, a program, a person.

    The function is given a few pairs at a time, and what it answers is stored before it is asked again: what was paid
    for is kept through errors and kills, and no pair of texts is asked for twice in the life of the store. A killed
    process loses the answer that it was waiting for, ``part_size`` pairs at most.

    Args:
        function: Queries and passages, lists of P texts -> P numbers: raw scores, higher is better, not squeezed into
            0 to 1. It may raise whatever it wants; trying again is its own affair.
        name: Name for reports; the function's by default.
        store: Where scores are kept; the user's cache by default.
        version: What the scores depend on, in a word ("rerank-3.5"): as long as name and version are the same, stored
            scores count as those of this function, whatever its code. By default the function's own attribute
            ``version``; without one, its source and the values that it holds tell it from others, as they are when the
            scorer is made.
        part_size: Pairs given to the function at once.

    Raises:
        InputError: If it cannot be called so. When used: if it raises, or gives other than a finite number per pair;
            what it gave before is in the store.
    """

    kind = "function"
    part_size = 32

    def __init__(
        self,
        function: Function,
        name: str | None = None,
        store: Store | None = None,
        version: str | None = None,
        part_size: int | None = None,
    ) -> None:
        found: Function = find_function("a scorer", function, {}, parameters=PARAMETERS)
        super().__init__(name or word_of(function), store if store is not None else Store(), part_size)
        self._hold(found, version)

    @property
    def fingerprint(self) -> str:
        """Digest of name and version, or of the function's source and the values that it holds."""
        return fingerprint_values(self.kind, *self._identity)

    def predict(self, queries: list[str], passages: list[str]) -> FloatArray:
        """(P,) what the function gives, which may be no numbers for some pairs."""
        numbers = numbers_of(self._asked(lambda: self.function(queries, passages)))
        if isinstance(numbers, str):
            self._refuse(numbers)
        return numbers

    def _compute(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        scores = super()._compute(queries, corpus, query_positions, passage_positions)
        if scores.shape != query_positions.shape:
            self._refuse(f"an array of shape {scores.shape} for {len(query_positions)} pairs")
        known = np.isfinite(scores)
        if not known.all():
            # The others of these pairs may have been paid for.
            keys = text_keys(queries)[query_positions[known]], text_keys(corpus)[passage_positions[known]]
            self._keep(self._key(corpus), *keys, scores[known])
            self.pairs_computed += int(known.sum())
            wrong = int(np.argmin(known))
            query, passage = queries.take_ids(query_positions[[wrong]]), corpus.take_ids(passage_positions[[wrong]])
            self._refuse(f"{scores[wrong]} for query {query[0]!r} and passage {passage[0]!r}")
        return scores


def scorer_of_function(place: Any, **options: Any) -> FunctionScorer:
    """A scorer from a function or its "module:function", which also names it.

    Raises:
        InputError: If there is no such function.
    """
    function = find_function("a scorer", place, {}, parameters=PARAMETERS)
    return FunctionScorer(function, **{"name": word_of(place), **options})
