"""Scores from a file: any system, however slow or closed, as a teacher or assistant."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.lines import refuse_no_file
from st_mta.scorers.positions import checked_pairs, checked_search
from st_mta.trec import read_rows, refuse_repeated
from st_mta.types import FloatArray, IntArray, Retrieved, Run, Scorer, Texts, numbers_within, run_of

logger = logging.getLogger(__name__)

STRANGERS = pa.schema({"query": pa.int64(), "passage": pa.large_string(), "score": pa.float32()})


class StoredScores(Scorer):
    """The scores of a run file, matched to a collection by its ids.

    The file is read when first used with a collection; rows of queries that the collection does not have are skipped.
    Passages that it does not have are nobody's candidates, but keep their ranks in measures, as in pytrec_eval; a
    warning says how many there are.

    Args:
        path: A run in any of the forms that ``trec.read_rows`` describes.
        name: Name for reports, by default the path.

    Raises:
        InputError: If there is no such file. When used: if a row is malformed, a score not finite, a pair there
            twice, or no id known to the collection.
    """

    kind = "stored"
    can_retrieve = partial = True
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
        query_positions, passage_positions = checked_pairs(queries, corpus, query_positions, passage_positions)
        pairs = self._pairs(queries, corpus)
        wanted = query_positions * len(corpus) + passage_positions
        place = np.minimum(np.searchsorted(pairs.codes, wanted), len(pairs.codes) - 1)
        return np.where(pairs.codes[place] == wanted, pairs.scores[place], np.float32(np.nan))

    def retrieve(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The file's k best passages of each query, by score; ties go to the lower position."""
        query_positions, k = checked_search(queries, query_positions, k)
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

    def listed(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Retrieved:
        """The file's k best passages of each query, in the order of the file."""
        found, pairs = self.retrieve(queries, corpus, query_positions, k), self._pairs(queries, corpus)
        codes = found.queries[:, None] * len(corpus) + found.passages
        place = pairs.places[np.minimum(np.searchsorted(pairs.codes, codes), len(pairs.codes) - 1)]
        order = np.argsort(np.where(found.passages >= 0, place, len(pairs.codes)), axis=1, kind="stable")
        return found.ordered(order)

    def ranking(self, queries: Texts, corpus: Texts, query_positions: IntArray, k: int) -> Run:
        """The file's k best passages of each of its queries; equal scores by id, the higher one first."""
        query_positions = np.asarray(query_positions, dtype=np.int64)
        pairs, rows = self._pairs(queries, corpus), np.full(len(queries), -1, dtype=np.int64)
        rows[query_positions] = np.arange(len(query_positions))
        row = np.concatenate([rows[pairs.codes // len(corpus)], rows[pairs.strangers["query"].to_numpy()]])
        wanted = np.flatnonzero(row[: len(pairs.codes)] >= 0)
        known = corpus.take_ids(pairs.codes[wanted] % len(corpus))
        others = pairs.strangers.filter(pa.array(row[len(pairs.codes) :] >= 0))
        found = pa.table(
            {
                "row": row[row >= 0],
                "passage": pa.concat_arrays([pa.array(known, pa.large_string()), *others["passage"].chunks]),
                "score": np.concatenate([pairs.scores[wanted], others["score"].to_numpy()]),
            }
        ).sort_by([("row", "ascending"), ("score", "descending"), ("passage", "descending")])
        lengths = np.bincount(found["row"].to_numpy(), minlength=len(query_positions))
        best = found.filter(pa.array(numbers_within(lengths) < k))
        answered = np.flatnonzero(lengths)
        query_ids = queries.take_ids(query_positions[answered])
        return run_of(
            query_ids, np.minimum(lengths[answered], k), best["passage"].to_pylist(), best["score"].to_numpy()
        )

    def _pairs(self, queries: Texts, corpus: Texts) -> Pairs:
        by_corpus = self._matched.setdefault(queries, WeakKeyDictionary())
        if corpus not in by_corpus:
            by_corpus[corpus] = self._match(queries, corpus)
        return by_corpus[corpus]

    def _match(self, queries: Texts, corpus: Texts) -> Pairs:
        codes, scores = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.float32)]
        strangers, first = [STRANGERS.empty_table()], ""
        for rows in read_rows(self.path):
            query, passage = queries.find(rows.query_ids), corpus.find(rows.passage_ids)
            known, unknown = (query >= 0) & (passage >= 0), (query >= 0) & (passage < 0)
            codes.append(query[known] * len(corpus) + passage[known])
            scores.append(rows.scores[known].astype(np.float32))
            if unknown.any():
                place = int(unknown.argmax())
                first = first or f"{rows.passage_ids[place].as_py()!r} at {self.path}:{rows.lines[place]}"
                columns = query[unknown], rows.passage_ids.filter(pa.array(unknown)), rows.scores[unknown]
                strangers.append(pa.table(list(columns), names=STRANGERS.names).cast(STRANGERS))
        all_codes, others = np.concatenate(codes), pa.concat_tables(strangers)
        self._check_any_known(len(all_codes))
        self._warn_of_strangers(len(others), len(all_codes), first)
        order = np.argsort(all_codes, kind="stable")
        pairs = Pairs(all_codes[order], np.concatenate(scores)[order], others, order)
        self._check_repeated(pairs, queries, len(corpus))
        return pairs

    def _warn_of_strangers(self, unknown: int, known: int, first: str) -> None:
        if unknown:
            logger.warning(
                f"{self.path}: {unknown} of {unknown + known} rows are of passages that the corpus does not have, the "
                f"first of {first}. In measures they keep their rank, as in pytrec_eval; otherwise they are left out."
            )

    def _check_repeated(self, pairs: Pairs, queries: Texts, size: int) -> None:
        repeated = pairs.codes[1:][pairs.codes[1:] == pairs.codes[:-1]] // size
        counts = pairs.strangers.group_by(["query", "passage"]).aggregate([([], "count_all")])
        twice = counts.filter(pc.greater(counts["count_all"], 1))["query"].to_numpy()
        for query in (*repeated[:1], *twice[:1]):
            refuse_repeated(self.path, *queries.take_ids([query]))

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
        strangers: Rows of passages that the corpus does not have: ``query`` position, ``passage`` id, ``score``.
        places: (n,) in which order they were given, by default that of the codes.
    """

    codes: IntArray
    scores: FloatArray
    strangers: pa.Table = field(default_factory=STRANGERS.empty_table)
    places: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if not len(self.places):
            object.__setattr__(self, "places", np.arange(len(self.codes)))
