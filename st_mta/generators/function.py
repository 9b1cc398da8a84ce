"""A service, or any function of the user's, that makes queries: no passage is sent to it twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn

from st_mta.errors import InputError
from st_mta.generators.base import StoringGenerator
from st_mta.lookup import find_function, word_of
from st_mta.scorers.identity import identity_without_calling
from st_mta.stores import Store, fingerprint_values

Function = Callable[[list[str]], Sequence[Sequence[str]]]


class FunctionGenerator(StoringGenerator):
    """Queries of a function of passages.

    What it returns is stored before it is asked again: a killed process loses one answer, ``part_size`` passages.

    Args:
        function: A list of passages -> for each a list of queries, in the order in which they should be used. It may
            raise whatever it wants; trying again is its own affair.
        name: For reports; the function's by default.
        store: Where the queries are kept; the user's cache by default.
        version: What the queries depend on, in a word: as long as name and version are the same, stored queries count
            as those of this function. By default the function's own attribute ``version``; without one, its source
            and the values that it holds, as they are now.
        part_size: Passages given to the function at once.

    Raises:
        InputError: If it cannot be called so. When used: if it raises, or returns something else.
    """

    def __init__(
        self,
        function: Function,
        name: str | None = None,
        store: Store | None = None,
        version: str | None = None,
        part_size: int = 16,
    ) -> None:
        self.function: Function = find_function("query_generator", function, {}, parameters=("passages",))
        self.name, self.part_size = name or word_of(function), part_size
        self.store = store if store is not None else Store()
        version = version if version is not None else getattr(function, "version", None)
        identity = [identity_without_calling(function)] if version is None else [self.name, str(version)]
        self._fingerprint = fingerprint_values("query function", *identity)

    @property
    def fingerprint(self) -> str:
        """Digest of name and version, or of the function's source and the values that it holds."""
        return self._fingerprint

    def generate(self, passages: list[str]) -> Sequence[list[str]]:
        """What the function returns, which may be no texts for some passages."""
        try:
            made = self.function(passages)
        except Exception as error:
            self._refuse(f"{type(error).__name__}: {' '.join(str(error).split())}", error)
        if not isinstance(made, (list, tuple)):
            self._refuse(f"{made!r}"[:200])
        return made

    def _refuse(self, got: str, error: Exception | None = None) -> NoReturn:
        raise InputError(
            expected=f"a list of queries for every passage from {self.name}",
            got=f"{got} (what it returned before is stored)",
            remedy="mend the function or the service and run the same again: passages that are stored are not sent",
        ) from error
