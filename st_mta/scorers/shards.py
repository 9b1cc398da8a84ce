"""Shares of scoring and encoding for the jobs of an array: the same for everyone, whatever the store holds already.

A share consists of whole units, the parts of pairs and blocks of texts that one process would compute at once, so that
what is stored in the end is bit for bit what one process would have stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from st_mta.errors import InputError
from st_mta.scorers.base import StoringScorer
from st_mta.scorers.embedding import EmbeddingScorer, distinct
from st_mta.scorers.fused import FusedScorer
from st_mta.scorers.positions import checked_pairs
from st_mta.scorers.through_store import ThroughStore, distinct_pairs
from st_mta.scorers.view import EmbeddingView, ViewScorer
from st_mta.stores import text_keys
from st_mta.stores.embeddings import Role, by_length
from st_mta.types import IntArray, Lists, Scorer, Texts

NOTHING = "nothing (there are fewer parts than shards: take fewer shards)"
FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class Shard:
    """Share ``number`` of ``of``, counted from 1."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The share that a text such as "3/16" names.

        Raises:
            InputError: If it names none.
        """
        found = FORM.fullmatch(text)
        if found is None or not 1 <= int(found[1]) <= int(found[2]):
            raise InputError(expected=f"a shard {SHARDS}", got=repr(text), remedy="count the shards from 1")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"shard {self.number} of {self.of}"

    def take(self, positions: IntArray, size: int) -> IntArray:
        """Of positions (n,) in units of ``size``, those of this share's units.

        Units are dealt forwards and backwards in turn, since the texts of a window come longest first.
        """
        turn, place = np.divmod(np.arange(len(positions)) // size, self.of)
        share = np.where(turn % 2, self.of - 1 - place, place)
        taken: IntArray = positions[share == self.number - 1]
        return taken


class Shards:
    """Texts that name a share."""

    def __contains__(self, text: object) -> bool:
        try:
            return bool(Shard.parse(str(text)))
        except InputError:
            return False

    def __str__(self) -> str:
        return "such as 3/16, the third of sixteen, counted from 1"


SHARDS, WHOLE = Shards(), Shard(1, 1)


@dataclass(frozen=True)
class Stored:
    """What of a share is in the store now, and how much of it was computed here."""

    pairs: int = 0
    embeddings: int = 0
    computed: int = 0

    def __add__(self, other: Stored) -> Stored:
        return Stored(self.pairs + other.pairs, self.embeddings + other.embeddings, self.computed + other.computed)

    def __str__(self) -> str:
        counts = {"pairs": self.pairs, "embeddings": self.embeddings}
        return " and ".join(f"{count:,} {what}" for what, count in counts.items() if count) or NOTHING


def store_scores(
    scorer: Scorer, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray, shard: Shard
) -> Stored:
    """Scores the share of these pairs into the scorer's store; of a bi-encoder's scores, the embeddings.

    Args:
        scorer: Any that keeps what it computes.
        queries, corpus: The tables.
        query_positions, passage_positions: (P,) all pairs, of which some are this share.
        shard: Which.

    Raises:
        InputError: If the scorer keeps nothing.
    """
    if not _keeps(scorer):
        raise InputError(
            expected="a scorer that keeps what it computes, for --shard",
            got=f"{scorer.name} ({scorer.kind})",
            remedy="leave --shard out: there is nothing to share",
        )
    pairs = checked_pairs(queries, corpus, query_positions, passage_positions)
    return _store_scores(scorer, queries, corpus, *pairs, shard)


def _keeps(scorer: Scorer) -> bool:
    if isinstance(scorer, FusedScorer):
        return any(map(_keeps, scorer.parts))
    if isinstance(scorer, ViewScorer):
        return _keeps(scorer.scorer)
    return isinstance(scorer, (ThroughStore, EmbeddingScorer)) and scorer.store is not None


def _store_scores(
    scorer: Scorer, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray, shard: Shard
) -> Stored:
    pairs = query_positions, passage_positions
    if isinstance(scorer, FusedScorer):
        kept = filter(_keeps, scorer.parts)
        return sum((_store_scores(part, queries, corpus, *pairs, shard) for part in kept), start=Stored())
    if isinstance(scorer, ViewScorer):
        seen = scorer.view.of_queries(queries), scorer.view.of_corpus(corpus)
        return _store_scores(scorer.scorer, *seen, *pairs, shard)
    if isinstance(scorer, EmbeddingScorer):
        left = store_embeddings(scorer, "query", queries, query_positions, shard)
        return left + store_embeddings(scorer, "document", corpus, passage_positions, shard)
    assert isinstance(scorer, ThroughStore) and scorer.store is not None
    before = scorer.store.ledger.pairs_scored
    mine = _share(scorer, queries, corpus, *pairs, shard)
    scorer.score(queries, corpus, query_positions[mine], passage_positions[mine])
    return Stored(pairs=len(mine), computed=scorer.store.ledger.pairs_scored - before)


def store_embeddings(scorer: EmbeddingScorer, role: Role, texts: Texts, positions: IntArray, shard: Shard) -> Stored:
    """Encodes the share of these texts (n,) into the scorer's store."""
    if isinstance(scorer, EmbeddingView):
        seen = scorer.view.of_queries(texts) if role == "query" else scorer.view.of_corpus(texts)
        return store_embeddings(scorer.scorer, role, seen, positions, shard)
    positions, _ = distinct(positions, len(texts))
    _, first = np.unique(text_keys(texts)[positions], return_index=True)
    lengths = pc.binary_length(texts.column).to_numpy()
    asked = by_length(np.sort(positions[first]), lengths, scorer.block_size)
    mine = shard.take(asked, scorer.block_size)
    computed = scorer.fill(role, texts, mine)
    return Stored(embeddings=len(mine), computed=computed)


def _share(
    scorer: ThroughStore,
    queries: Texts,
    corpus: Texts,
    query_positions: IntArray,
    passage_positions: IntArray,
    shard: Shard,
) -> IntArray:
    """Which pairs are the share; of a scorer of lists, whole ones."""
    if isinstance(scorer, StoringScorer):
        in_order = _in_order(scorer, queries, corpus, query_positions, passage_positions)
        return shard.take(in_order, scorer.part_size)
    lists, places = Lists.of_pairs(query_positions, passage_positions)
    rows = shard.take(np.arange(len(lists)), scorer.part_size)
    return np.sort(places[lists.pairs_of(rows)])


def _in_order(
    scorer: StoringScorer, queries: Texts, corpus: Texts, query_positions: IntArray, passage_positions: IntArray
) -> IntArray:
    """Where each distinct pair stands, in the order in which one process would compute them."""
    first, _ = distinct_pairs(text_keys(queries)[query_positions], text_keys(corpus)[passage_positions])
    return first[np.argsort(passage_positions[first], kind="stable")] if scorer.passages_together else first
