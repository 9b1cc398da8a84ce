"""What makes queries for passages."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NoReturn

import numpy as np
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.progress import progress
from st_mta.stores import Store, text_keys
from st_mta.types import IntArray, Texts

HALF = re.compile("[\ud800-\udfff]")  # of a character beyond 16 bits: no file in UTF-8 can hold it


class QueryGenerator(ABC):
    """Makes queries that passages answer, for collections without training queries or with too few.

    Attributes:
        name: For reports.
    """

    name: str

    @abstractmethod
    def queries(self, corpus: Texts, positions: IntArray) -> list[list[str]]:
        """The queries of n passages, in the order in which they were made; a passage may get none."""

    def available(self, corpus: Texts) -> IntArray:
        """Positions of the passages that it can make queries for: by default those that are not blank."""
        return np.flatnonzero(pc.match_substring_regex(corpus.column, r"\S").to_numpy()).astype(np.int64)


class StoringGenerator(QueryGenerator):
    """A generator that reads a passage once in the life of its store; what it made is kept through errors and kills.

    Of several processes that want the same, one generates and the others wait for it.

    Attributes:
        store: Where its queries are kept.
        part_size: Passages between two writes to the store.
    """

    store: Store
    part_size: int

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Digest of everything that a passage's queries depend on."""

    @abstractmethod
    def generate(self, passages: list[str]) -> Sequence[list[str]]:
        """The queries of up to ``part_size`` passages, made now. They depend on each passage alone.

        What is no list of texts for a passage is refused; those of the others are kept.
        """

    def queries(self, corpus: Texts, positions: IntArray) -> list[list[str]]:
        """The queries of n passages, those missing in the store generated part by part and stored."""
        stored, keys = self.store.queries, text_keys(corpus)[positions]
        self.store.describe(self.fingerprint, self.name, "generator")
        if any(found is None for found in stored.lookup(self.fingerprint, keys)):
            with stored.alone(self.fingerprint):
                self._generate_missing(corpus, positions)
        return [found or [] for found in stored.lookup(self.fingerprint, keys)]

    def _generate_missing(self, corpus: Texts, positions: IntArray) -> None:
        keys = text_keys(corpus)[positions]
        found = self.store.queries.lookup(self.fingerprint, keys)
        missing = np.flatnonzero([one is None for one in found])
        missing = missing[np.sort(np.unique(keys[missing], return_index=True)[1])]  # a text once
        # The longest first: passages of like length are read together, and too little memory shows at once.
        lengths = np.asarray([len(text) for text in corpus.take(positions[missing])])
        missing = missing[np.argsort(-lengths, kind="stable")]
        with progress(f"Generating queries with {self.name}", len(missing), "passages") as bar:
            for start in range(0, len(missing), self.part_size):
                part = missing[start : start + self.part_size]
                made = self.generate(corpus.take(positions[part]))
                self._refuse_other_length(made, len(part))
                good = np.asarray([_is_texts(queries) for queries in made])
                fit = [list(queries) for queries, fits in zip(made, good) if fits]
                if fit:
                    self.store.queries.append(self.fingerprint, keys[part[good]], fit)
                if not good.all():
                    wrong = int(np.argmin(good))
                    self._refuse_others(made[wrong], corpus.take_ids(positions[part[[wrong]]])[0])
                bar.update(len(part))

    def _refuse_others(self, made: object, passage_id: str) -> NoReturn:
        raise InputError(
            expected=f"a list of queries for every passage from {self.name}, each a text that UTF-8 can hold",
            got=f"{made!r}"[:200] + f" for passage {passage_id!r} (those of other passages are stored)",
            remedy="mend the function or the service and run the same again: passages that are stored are not sent",
        )

    def _refuse_other_length(self, made: Sequence[list[str]], wanted: int) -> None:
        if len(made) != wanted:
            raise InputError(
                expected=f"a list of queries for each of {wanted} passages from {self.name}",
                got=f"{len(made)} lists",
                remedy="return one list for every passage, an empty one where there is no query",
            )


def _is_texts(made: object) -> bool:
    return isinstance(made, (list, tuple)) and all(isinstance(query, str) and not HALF.search(query) for query in made)
