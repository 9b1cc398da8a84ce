"""Who really reads texts: the models inside fused, joined and viewing scorers, each with the texts that it sees."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from st_mta.scorers.anncur import AnnCur
from st_mta.scorers.view import ViewScorer
from st_mta.stores.embeddings import Role
from st_mta.types import Collection, Scorer, Texts


@dataclass(frozen=True)
class Reader:
    """A scorer that computes by itself, and what it reads.

    Attributes:
        scorer: No fusion, and no view.
        queries: In the order of the collection's.
        corpus: In the order of the collection's.
        key: Names its embeddings: the scorer's fingerprint, or a student that is yet to be trained.
        exists: Whether it is a model that may have stored something before.
    """

    scorer: Scorer
    queries: Texts
    corpus: Texts
    key: str
    exists: bool = True

    def texts(self, role: Role) -> Texts:
        """What it reads in a role."""
        return self.queries if role == "query" else self.corpus


def readers(scorer: Scorer, collection: Collection) -> Iterator[Reader]:
    """The readers in a scorer."""
    yield from _within(scorer, collection.queries, collection.corpus)


def _within(scorer: Scorer, queries: Texts, corpus: Texts) -> Iterator[Reader]:
    if isinstance(scorer, ViewScorer):
        yield from _within(scorer.scorer, scorer.view.of_queries(queries), scorer.view.of_corpus(corpus))
        return
    if isinstance(scorer, AnnCur):
        yield from _within(scorer.scorer, queries, corpus)
        return
    parts = [part for part in getattr(scorer, "parts", ()) if isinstance(part, Scorer)]
    for part in parts:
        yield from _within(part, queries, corpus)
    if not parts:
        yield Reader(scorer, queries, corpus, scorer.fingerprint)
