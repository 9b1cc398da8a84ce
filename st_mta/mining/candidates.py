"""Candidates of each query from one or several retrievers, labelled positives first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from st_mta.errors import InputError
from st_mta.lookup import check_choice
from st_mta.mining.copies import first_of_same, loose_keys, repeated
from st_mta.mining.listing import Listing
from st_mta.mining.positives import Positives, find_positives
from st_mta.mining.sampling import SAMPLING_STRATEGIES, top
from st_mta.mining.union import merge
from st_mta.progress import progress
from st_mta.types import BoolArray, Candidates, Collection, IntArray, Qrels, Retrieved, Scorer, offsets_of

QRELS = "qrels"
QUERIES_AT_ONCE = 2**13  # queries worked on at once: a hundred ranks of each, sorted, then take some 50 MB


def mine(
    collection: Collection,
    query_positions: IntArray,
    retrievers: Sequence[Scorer],
    positives: Qrels | None,
    *,
    num_candidates: int = 16,
    depth: int = 100,
    range_min: int = 0,
    sampling_strategy: str = "top",
    quotas: Sequence[float] | None = None,
    seed: int = 0,
    listing: Scorer | None = None,
) -> Candidates:
    """Up to ``num_candidates`` passages per query: positives first, then the union of the retrievers' picks.

    Each retriever picks among its ranks ``range_min`` to ``depth``, counted without the query's positives as the
    host does, and without passages whose text is the query's own or, under another id, a positive's or that of a
    passage further up (white space and composed characters aside). Its pick number o (from 0) has the priority
    ``(o + 0.5) / quota``; the lowest priorities win, so shares follow quotas. A passage picked by several retrievers
    counts once, at its best priority. Lists may come out shorter than ``num_candidates``; they are kept.

    With a ``listing``, such as a teacher's stored scores, only passages that it has scored are candidates, positives
    too. A query gets all of them, positives first and the others in the order of its file. Where these are more than
    ``num_candidates``, it is one retriever among the others, the first of them and without ``range_min``.

    Args:
        collection: Texts.
        query_positions: (Q,) positions in ``collection.queries``.
        retrievers: Scorers that search the corpus.
        positives: Judgements; passages of grade 1 and above are positives, the best grade first. None for none.
        num_candidates: Passages per query at most; at most one less of them positives.
        depth: Ranks looked at (the host's ``range_max``).
        range_min: Ranks skipped at the top.
        sampling_strategy: "top", "random" or "stratified".
        quotas: (R,) relative shares of the retrievers, equal by default; where something is listed, its own first.
        seed: For sampling.
        listing: The scorer to learn from; one that can score any pair changes nothing.

    Returns:
        The candidates; ``sources`` are "qrels" and the retrievers' names.

    Raises:
        InputError: If a number is out of range, a word unknown, or a retriever cannot search.
    """
    check_choice("sampling_strategy", sampling_strategy, SAMPLING_STRATEGIES)
    if num_candidates < 2 or not 0 <= range_min < depth:
        raise InputError(
            expected="num_candidates of at least 2 and 0 <= range_min < depth",
            got=f"num_candidates={num_candidates}, range_min={range_min}, depth={depth}",
            remedy="use the defaults (16 candidates, ranks 0 to 100) if in doubt",
        )
    query_positions = np.asarray(query_positions, dtype=np.int64)
    labelled = find_positives(collection, query_positions, positives)
    deepest = max(depth, num_candidates)
    listed = Listing.of(listing, collection, query_positions, _searched(collection, labelled, deepest))
    if listed is not None:
        labelled = listed.known_positives(labelled)
        retrievers = [listed.scorer, *(retriever for retriever in retrievers if retriever is not listed.scorer)]
    shares = _shares(retrievers, quotas)
    k = _searched(collection, labelled, depth)
    picking = _Picking(collection, labelled, num_candidates, sampling_strategy)
    if listed is not None:
        listed = listed.with_room(picking.has_room(listed.found), num_candidates)
    picks = []
    for number, retriever in enumerate(retrievers):
        random = np.random.default_rng([seed, number])
        if listed is not None and number == 0:
            picks.append(picking.pick(listed.found, (0, deepest), random, in_order=listed.whole))
        elif listed is None or not listed.whole.all():
            found = retriever.retrieve(collection.queries, collection.corpus, query_positions, k)
            picks.append(picking.pick(found, (range_min, depth), random, listed=listed))
        else:  # a search would bring nothing
            picks.append(np.zeros((len(query_positions), 0), dtype=np.int64))
    sources, first = (QRELS, *(retriever.name for retriever in retrievers)), first_of_same(collection)
    return _assemble(query_positions, labelled, picks, shares, num_candidates, sources, first)


def in_corpus_order(candidates: Candidates) -> Candidates:
    """The same lists, the positives first as they come and all others by their place in the corpus.

    So that whatever is computed from them is the same to the last digit, whoever brought them in which order.
    """
    row = np.repeat(np.arange(len(candidates)), candidates.lengths)
    place = np.where(candidates.positive, -1, candidates.passages)
    order = np.lexsort((place, row))
    return replace(
        candidates,
        passages=candidates.passages[order],
        positive=candidates.positive[order],
        source=candidates.source[order],
        grades=candidates.grades[order],
    )


def searched_depth(collection: Collection, query_positions: IntArray, positives: Qrels | None, depth: int) -> int:
    """How deep [`mine`] has every retriever search for ``depth`` ranks, given the same collection and positives."""
    return _searched(collection, find_positives(collection, query_positions, positives), depth)


def _searched(collection: Collection, labelled: Positives, depth: int) -> int:
    """So many ranks that ``depth`` are left without the positives; more positives than that are not worth it."""
    room, total = min(_most_taken_out(labelled, first_of_same(collection)), depth), len(collection.corpus)
    spread = 1 if collection.windows is None else -(-total // len(collection.windows.documents))
    return min((depth + room) * spread, total)  # several windows of a document take several ranks


def _most_taken_out(labelled: Positives, first: IntArray) -> int:
    """How many ranks at most the positives of a query and their copies take."""
    copies = np.bincount(first, minlength=len(first))[first[labelled.passages]]
    return int(np.bincount(labelled.rows, weights=copies).max(initial=0))


@dataclass(frozen=True)
class _Picking:
    """How passages are picked from the rankings of Q queries.

    Attributes:
        collection: Texts.
        labelled: The queries' positives, which are never picked.
        num_candidates: Passages per query, positives among them.
        sampling_strategy: A word of ``SAMPLING_STRATEGIES``.
    """

    collection: Collection
    labelled: Positives
    num_candidates: int
    sampling_strategy: str

    @property
    def slots(self) -> IntArray:
        """(Q,) places that the positives leave."""
        return self.num_candidates - np.minimum(self.labelled.lengths, self.num_candidates - 1)

    def eligible(self, found: Retrieved, rows: slice) -> BoolArray:
        """Which entries of these rows may become negatives."""
        passages, first = found.passages[rows], first_of_same(self.collection)
        query_keys = loose_keys(self.collection.queries)[found.queries[rows], None]
        # A passage with the query's own text comes where questions are to be matched with questions.
        excluded = loose_keys(self.collection.corpus)[passages] == query_keys
        excluded |= self.labelled.slice(rows).mark(passages, first)
        excluded |= repeated(np.where(passages >= 0, first[passages], -1))
        return np.asarray((passages >= 0) & ~excluded)

    def has_room(self, found: Retrieved) -> BoolArray:
        """(Q,) whether everything eligible can be taken."""
        room = np.zeros(len(found.queries), dtype=bool)
        for rows in _blocks(len(room)):
            room[rows] = self.eligible(found, rows).sum(axis=1) <= self.slots[rows]
        return room

    def pick(
        self,
        found: Retrieved,
        ranks: tuple[int, int],
        random: np.random.Generator,
        *,
        in_order: BoolArray | None = None,
        listed: Listing | None = None,
    ) -> IntArray:
        """One retriever's picks, (Q, max slots) corpus positions in the order of picking, filled with -1.

        Args:
            found: Its rankings.
            ranks: First rank looked at, and the one after the last.
            random: For sampling.
            in_order: (Q,) rows that are taken from the top, whatever the strategy.
            listed: Leaves out what it does not know.
        """
        slots, sample = self.slots, SAMPLING_STRATEGIES[self.sampling_strategy]
        picks = np.full((len(slots), int(slots.max(initial=0))), -1, dtype=np.int64)
        for rows in _blocks(len(slots)):
            passages, eligible = found.passages[rows], self.eligible(found, rows)
            if listed is not None:
                eligible = listed.wanted(rows, passages, eligible)
            rank = np.cumsum(eligible, axis=1) - 1
            allowed = eligible & (rank >= ranks[0]) & (rank < ranks[1])
            # Drawn row by row from one stream: a query's numbers do not depend on how queries are cut into blocks.
            numbers = random.random(allowed.shape)
            order = sample(allowed, slots[rows], numbers)
            if in_order is not None:
                order = np.where(in_order[rows, None], top(allowed, slots[rows], numbers), order)
            row, column = np.nonzero(order >= 0)
            picks[rows][row, order[row, column]] = passages[row, column]
        return picks


def _assemble(
    query_positions: IntArray,
    labelled: Positives,
    picks: list[IntArray],
    shares: npt.NDArray[np.float64],
    num_candidates: int,
    sources: tuple[str, ...],
    first: IntArray,
) -> Candidates:
    pieces = []
    with progress("Merging candidates", len(query_positions), "queries") as bar:
        for rows in _blocks(len(query_positions)):
            pieces.append(merge(labelled.slice(rows), [each[rows] for each in picks], shares, num_candidates, first))
            bar.update(rows.stop - rows.start)
    lengths, passages, source, grades = (
        np.concatenate([piece[part] for piece in pieces] or [np.zeros(0, dtype=np.int64)]) for part in range(4)
    )
    return Candidates(query_positions, offsets_of(lengths), passages, source == 0, source, sources, grades)


def _blocks(count: int) -> Iterator[slice]:
    return (slice(start, min(start + QUERIES_AT_ONCE, count)) for start in range(0, count, QUERIES_AT_ONCE))


def _shares(retrievers: Sequence[Scorer], quotas: Sequence[float] | None) -> npt.NDArray[np.float64]:
    unable = [retriever.name for retriever in retrievers if not retriever.can_retrieve]
    if unable or not retrievers:
        raise InputError(
            expected="at least one retriever, each able to search the corpus",
            got=f"{unable[0]}, which only re-ranks" if unable else "none",
            remedy="give bi-encoders, BM25 or run files",
        )
    shares = np.asarray([1.0] * len(retrievers) if quotas is None else quotas, dtype=np.float64)
    if shares.shape != (len(retrievers),) or not (np.isfinite(shares) & (shares > 0)).all():
        raise InputError(
            expected=f"a quota above zero for each of {len(retrievers)} retrievers",
            got=str(quotas),
            remedy="give one positive number per retriever, or leave quotas out for equal shares",
        )
    return shares
