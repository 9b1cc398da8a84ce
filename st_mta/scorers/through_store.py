"""Scores through the store: looked up by their keys, computed where they are missing, part by part, and stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from st_mta.errors import InputError
from st_mta.processes import at_once
from st_mta.progress import progress
from st_mta.stores import Store
from st_mta.stores.keys import KeyArray
from st_mta.types import FloatArray, IntArray, Scorer, starts_of

Keys = tuple[KeyArray, KeyArray]
"""Two keys (P,) that together say what was scored: of a query and a passage, or of a list and a passage."""
Compute = Callable[[list[IntArray]], Iterator[FloatArray]]
"""Scores of each of several parts, given by the indices of their keys, computed now."""

# Scores computed between two writes: the most a kill can lose. A minute of work for a small cross-encoder on a CPU.
PART_SIZE = 2**13


class ThroughStore(Scorer):
    """A scorer that takes from its store what was computed once.

    Attributes:
        store: Where scores are kept, or None.
        part_size: How much is computed between two writes to the store.
        of: What stored scores belong to: "pairs" of a query and a passage, or what only this scorer can look up.
        answers: What whoever computes has to give, for messages.
    """

    store: Store | None
    part_size = PART_SIZE
    of = "pairs"
    answers = "a finite number for every pair"

    def _look_up(self, fingerprint: str, keys: Keys) -> FloatArray:
        """(P,) what the store holds, NaN for the rest."""
        if self.store is None:
            return np.full(len(keys[0]), np.nan, dtype=np.float32)
        self.store.describe(fingerprint, self.name, self.kind, self.of)
        return self.store.scores.lookup(fingerprint, *keys)

    def _fill(
        self,
        fingerprint: str,
        keys: Keys,
        parts: list[IntArray],
        compute: Compute,
        scores: FloatArray,
        width: int = 1,
    ) -> int:
        """Fills in what the store did not hold, and stores it part by part.

        Args:
            fingerprint: Under which scores are stored.
            keys: (P,) each, distinct among ``parts``.
            parts: Indices of what is missing, as it is computed together.
            compute: Computes parts.
            scores: (P,), changed in place.
            width: How many parts are computed at the same time.

        Returns:
            How many scores were computed here.
        """
        here = 0
        with progress(f"Scoring with {self.name}", sum(map(len, parts)), "pairs") as bar:
            # What another run is scoring comes last: by then it is stored, or falls to this one.
            for wait in (False, True):
                left: list[IntArray] = []
                for group in at_once(parts, 1 if wait else width):
                    here += self._fill_group(fingerprint, keys, group, compute, scores, wait)
                    others = [part[np.isnan(scores[part])] for part in group]
                    left += [part for part in others if len(part)]
                    bar.update(sum(map(len, group)) - sum(map(len, others)))
                parts = left
        return here

    def _fill_group(
        self, fingerprint: str, keys: Keys, group: Sequence[IntArray], compute: Compute, scores: FloatArray, wait: bool
    ) -> int:
        with ExitStack() as claims:
            ours: list[IntArray] = []
            for part in group:
                claim = self._claim(fingerprint, (keys[0][part], keys[1][part]), wait)
                free, scores[part] = claims.enter_context(claim)
                ours.append(part[free & np.isnan(scores[part])])
            ours = [part for part in ours if len(part)]
            for part, values in zip(ours, compute(ours)):
                scores[part] = values
                self._keep(fingerprint, keys[0][part], keys[1][part], values)
        return sum(map(len, ours))

    @contextmanager
    def _claim(self, fingerprint: str, keys: Keys, wait: bool) -> Iterator[tuple[npt.NDArray[np.bool_], FloatArray]]:
        """Which keys are free to be computed here, and scores stored meanwhile; see ``ScoreStore.claim``."""
        if self.store is None:
            yield np.ones(len(keys[0]), dtype=bool), np.full(len(keys[0]), np.nan, dtype=np.float32)
            return
        with self.store.scores.claim(fingerprint, *keys, wait) as found:
            yield found

    def _keep(self, fingerprint: str, first_keys: KeyArray, second_keys: KeyArray, scores: FloatArray) -> None:
        if self.store is not None:
            self.store.scores.append(fingerprint, first_keys, second_keys, scores)

    def _refuse(self, got: str, error: Exception | None = None) -> NoReturn:
        kept = "" if self.store is None else ", which are stored"
        raise InputError(
            expected=f"{self.answers} from {self.name}",
            got=f"{got} (after {self.pairs_computed:,} pairs of this process{kept})",
            remedy="mend the function or the service and run the same again: what is stored is not asked for",
        ) from error

    def _count(self, asked: int, computed: int) -> None:
        """Notes how many of the distinct pairs asked for were computed here."""
        if self.store is not None:
            self.store.ledger.pairs_scored += computed
            self.store.ledger.pairs_reused += asked - computed


def distinct_pairs(
    first_keys: npt.NDArray[np.integer], second_keys: npt.NDArray[np.integer]
) -> tuple[IntArray, npt.NDArray[np.intp]]:
    """Where each distinct pair of keys first occurs, in order of occurrence, and which of them each pair is.

    Returns:
        Index (U,) of the first occurrences, ascending, and inverse (P,) such that pair i is the pair at
        ``index[inverse[i]]``.
    """
    order = np.lexsort((second_keys, first_keys))  # stable
    starts = starts_of(first_keys[order], second_keys[order])
    group = np.empty(len(order), dtype=np.int64)
    group[order] = np.cumsum(starts) - 1
    index = order[starts]
    by_occurrence = np.argsort(index)
    rank = np.empty_like(by_occurrence)
    rank[by_occurrence] = np.arange(len(by_occurrence))
    return index[by_occurrence], rank[group]


def numbers_of(answer: Any) -> FloatArray | str:
    """An answer in float32, where too large numbers are inf; or why it is none, in words."""
    try:
        with np.errstate(over="ignore"):
            return np.asarray(answer, dtype=np.float32)
    except Exception as error:  # what a user's object says of itself may raise anything
        return f"{type(error).__name__}: {' '.join(str(error).split())}"
