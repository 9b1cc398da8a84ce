"""Scores from a file: any system, however slow or closed, as a teacher or assistant."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np

from st_mta.errors import InputError
from st_mta.lines import refuse_no_file
from st_mta.trec import read_rows, refuse_repeated
from st_mta.types import FloatArray, IntArray, Retrieved, Scorer, Texts, numbers_within


class StoredScores(Scorer):
    """The scores of a run file, matched to a collection by its ids.

    The file is read when first used with a collection; rows with ids that the collection does not have are skipped.

    Args:
        path: A run in any of the forms that ``trec.read_rows`` describes.
        name: Name for reports, by default the path.

    Raises:
        InputError: If there is no such file. When used: if a row is malformed, a score not finite, a pair there
            twice, or no id known to the collection.
    """

    kind = "stored"
    can_retrieve = True
    timed = False

    def __init__(self, path: str | Path, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or str(path)
        refuse_no_file(self.path)

    @cached_property
    def _matched(self) -> WeakKeyDictionary[Texts, WeakKeyDictionary[Texts, Pairs]]:
        return WeakKeyDictionary()

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the file."""
        digest = hashlib.blake2b(digest_size=16)
        with open(self.path, "rb") as file:
            while chunk := file.read(2**24):
                digest.update(chunk)
        return digest.hexdigest()

    def score(
        self, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
    ) -> FloatArray:
        """(P,) scores, NaN for pairs that are not in the file."""
        pairs = self._pairs(queries, corpus)
        wanted = np.asarray(query_positions, dtype=np.int64) * len(corpus) + passage_positions
        place = np.minimum(np.searchsorted(pairs.codes, wanted), len(pairs.codes) - 1)
        return np.where(pairs.codes[place] == wanted, pairs.scores[place], np.float32(np.nan))

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The file's k best passages of each query, by score; ties go to the lower position."""
        query_positions = np.asarray(query_positions, dtype=np.int64)
        pairs = self._pairs(queries, corpus)
        starts = np.searchsorted(pairs.codes, query_positions * len(corpus))
        lengths = np.searchsorted(pairs.codes, (query_positions + 1) * len(corpus)) - starts
        rows = np.repeat(np.arange(len(query_positions)), lengths)
        number = numbers_within(lengths)
        entries = starts[rows] + number
        order = np.lexsort((entries, -pairs.scores[entries], rows))
        kept = number < k
        scores = np.full((len(query_positions), k), -np.inf, dtype=np.float32)
        passages = np.full((len(query_positions), k), -1, dtype=np.int64)
        # Sorting within rows leaves the rows where they are, so the numbers within rows still hold.
        best = entries[order][kept]
        scores[rows[kept], number[kept]] = pairs.scores[best]
        passages[rows[kept], number[kept]] = pairs.codes[best] % len(corpus)
        return Retrieved(query_positions, passages, scores)

    def _pairs(self, queries: Texts, corpus: Texts) -> Pairs:
        by_corpus = self._matched.setdefault(queries, WeakKeyDictionary())
        if corpus not in by_corpus:
            by_corpus[corpus] = self._match(queries, corpus)
        return by_corpus[corpus]

    def _match(self, queries: Texts, corpus: Texts) -> Pairs:
        codes, scores = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
        for rows in read_rows(self.path):
            query, passage = queries.find(rows.query_ids), corpus.find(rows.passage_ids)
            known = (query >= 0) & (passage >= 0)
            codes.append(query[known] * len(corpus) + passage[known])
            scores.append(rows.scores[known].astype(np.float32))
        all_codes = np.concatenate(codes)
        self._check_any_known(len(all_codes))
        order = np.argsort(all_codes, kind="stable")
        pairs = Pairs(all_codes[order], np.concatenate(scores)[order])
        repeated = pairs.codes[1:][pairs.codes[1:] == pairs.codes[:-1]]
        if len(repeated):
            refuse_repeated(self.path, *queries.take_ids(repeated[:1] // len(corpus)))
        return pairs

    def _check_any_known(self, known: int) -> None:
        if known == 0:
            raise InputError(
                expected=f"scores of pairs of this collection in {self.path}",
                got="no row whose query and passage are both in the collection",
                remedy="check that it belongs to this collection and split, and that no id or text has changed",
            )


@dataclass(frozen=True)
class Pairs:
    """Scores of pairs as positions.

    Attributes:
        codes: (n,) query position x corpus size + passage position, ascending.
        scores: (n,) float32.
    """

    codes: IntArray
    scores: FloatArray
