"""A user's function that reads whole lists, or compares passages, as a scorer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from st_mta.lookup import find_function, word_of
from st_mta.scorers.bradley_terry import PRIOR
from st_mta.scorers.function import AsksFunction
from st_mta.scorers.listwise import ListScorer
from st_mta.scorers.preferences import PairwiseScorer
from st_mta.stores import Store, fingerprint_values

OF_LISTS, OF_PREFERENCES = ("queries", "lists"), ("queries", "first", "second")
"""What such functions are called with."""
ListFunction = Callable[[list[str], list[list[str]]], Sequence[Sequence[float]]]
PreferenceFunction = Callable[[list[str], list[str], list[str]], Sequence[float]]


class ListFunctionScorer(AsksFunction, ListScorer):
    """Scores of a function of whole lists: a listwise language model, a set encoder, a service that re-ranks.

    As [`st_mta.scorers.FunctionScorer`], but for lists: the function is given a few of them at a time, and no list of
    a query is asked for twice in the life of the store ([`ListScorer`] says what counts as the same list).

    Args:
        function: Queries, Q texts, and for each of them the texts of its passages -> for each query as many numbers:
            raw scores, higher is better. It may raise whatever it wants.
        name: Name for reports; the function's by default.
        store: Where scores are kept; the user's cache by default.
        version: What the scores depend on, in a word, as of [`FunctionScorer`].
        part_size: Lists given to the function at once.
        ordered: Whether the order of passages counts, as of [`ListScorer`].

    Raises:
        InputError: If it cannot be called so. When used: if it raises, or gives other than a finite number per
            passage; what it gave before is in the store.

    Example:
        ::

            def rerank(queries, lists):
                return [ranker.score(query, passages) for query, passages in zip(queries, lists)]

            teacher = ListFunctionScorer(rerank, version="set-encoder-base")
    """

    def __init__(
        self,
        function: ListFunction,
        name: str | None = None,
        store: Store | None = None,
        version: str | None = None,
        part_size: int | None = None,
        ordered: bool = False,
    ) -> None:
        found: ListFunction = find_function("a list scorer", function, {}, parameters=OF_LISTS)
        super().__init__(name or word_of(function), store if store is not None else Store(), part_size, ordered)
        self._hold(found, version)

    @property
    def fingerprint(self) -> str:
        """Digest of name and version, or of the function's source and values, and of whether order counts."""
        return fingerprint_values(self.kind, self.ordered, *self._identity)

    def predict_lists(self, queries: list[str], lists: list[list[str]]) -> Sequence[Any]:
        """What the function gives, which may be no numbers for some lists."""
        return self._asked(lambda: list(self.function(queries, lists)))


class PairwiseFunctionScorer(AsksFunction, PairwiseScorer):
    """Scores from a function that compares two passages at a time: duoT5, a language model asked which one is better.

    As [`st_mta.scorers.FunctionScorer`], but for comparisons: the function is given a few of them at a time, and no
    two passages are compared twice for a query in the life of the store ([`PairwiseScorer`] says which are compared
    and what becomes of it).

    Args:
        function: Queries, first passages and second passages, C texts each -> C probabilities that the first is the
            better one. It may raise whatever it wants.
        name: Name for reports; the function's by default.
        store: Where preferences are kept; the user's cache by default.
        version: What preferences depend on, in a word, as of [`st_mta.scorers.FunctionScorer`].
        part_size: Comparisons given to the function at once.
        comparisons, both_orders, prior: As of [`PairwiseScorer`].

    Raises:
        InputError: If it cannot be called so, or a number is out of its range. When used: if it raises, or gives
            other than a probability per comparison; what it gave before is in the store.
    """

    def __init__(
        self,
        function: PreferenceFunction,
        name: str | None = None,
        store: Store | None = None,
        version: str | None = None,
        part_size: int | None = None,
        *,
        comparisons: int | None = None,
        both_orders: bool = False,
        prior: float = PRIOR,
    ) -> None:
        found: PreferenceFunction = find_function("a pairwise scorer", function, {}, parameters=OF_PREFERENCES)
        store = store if store is not None else Store()
        options: dict[str, Any] = {"comparisons": comparisons, "both_orders": both_orders, "prior": prior}
        super().__init__(name or word_of(function), store, part_size, **options)
        self._hold(found, version)

    @property
    def preference_fingerprint(self) -> str:
        """Digest of name and version, or of the function's source and the values that it holds."""
        return fingerprint_values(self.kind, *self._identity)

    def prefer(self, queries: list[str], first: list[str], second: list[str]) -> Sequence[float]:
        """What the function gives."""
        return self._asked(lambda: list(self.function(queries, first, second)))
