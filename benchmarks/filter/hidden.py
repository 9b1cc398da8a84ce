"""Candidate lists in which all labelled positives but one are hidden: what a filter is to find."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from st_mta.collections import load_collection
from st_mta.mining import mine
from st_mta.scorers import BM25
from st_mta.types import BoolArray, Candidates, Collection, IntArray, Qrels, Scorer

SEED = 42
SOURCES = {
    "scifact": ("train", "test"),
    "medquad": ("train",),
    "cranfield-src": ("test",),
    "vaswani": ("test",),
    "cacm": ("test",),
}
"""Collections with several positives per query, and the splits they are taken from."""
SPLIT = "several"


@dataclass(frozen=True)
class Hidden:
    """The candidates of queries with several positives, one of which is known.

    Attributes:
        lists: The known positive first, then what the retrievers found.
        found: (P,) True for a hidden positive; what is neither known nor hidden counts as a true negative.
        known: (P,) for each pair, the index of its query's known positive among the pairs.
    """

    lists: Candidates
    found: BoolArray
    known: IntArray

    @property
    def judged(self) -> BoolArray:
        """(P,) True for everything a filter decides on."""
        return ~self.lists.positive


def several_positives(folder: Path, name: str, num_queries: int, num_passages: int) -> Collection:
    """A collection cut to a seeded sample of its queries with several positives, all of them in one split.

    Every passage judged for a kept query stays; the others are a seeded sample.
    """
    whole = load_collection(folder / name)
    judged = {query: grades for split in SOURCES[name] for query, grades in whole.qrels.get(split, {}).items()}
    positives = {query: _relevant(grades) for query, grades in judged.items()}
    several = [query for query, grades in positives.items() if len(grades) > 1]
    random = np.random.default_rng(SEED)
    chosen = [several[place] for place in np.sort(random.permutation(len(several))[:num_queries])]
    qrels = {query: positives[query] for query in chosen}
    kept = whole.corpus.find(sorted({passage for query in chosen for passage in judged[query]}))
    kept = kept[kept >= 0]
    others = random.permutation(np.setdiff1d(np.arange(len(whole.corpus)), kept))[: max(0, num_passages - len(kept))]
    corpus = whole.corpus.select(np.sort(np.concatenate([kept, others])))
    return replace(whole, corpus=corpus, qrels={SPLIT: qrels})


def hide(collection: Collection, bi_encoder: Scorer, num_candidates: int) -> Hidden:
    """Mines with one seeded positive per query as the only label; marks the others among what is found."""
    random = np.random.default_rng(SEED)
    qrels = collection.qrels[SPLIT]
    told = {query: dict([sorted(grades.items())[random.integers(len(grades))]]) for query, grades in qrels.items()}
    lists = mine(
        collection,
        collection.queries_of(SPLIT),
        [bi_encoder, BM25()],
        told,
        num_candidates=num_candidates + 1,
        depth=num_candidates,
    )
    rows = np.arange(len(lists))
    complete = np.isin(rows, lists.rows[lists.positive])  # a known positive may be missing from the corpus
    lists = lists.select(rows[complete])
    return Hidden(lists, _relevant_pairs(collection, lists, qrels) & ~lists.positive, lists.offsets[:-1][lists.rows])


def _relevant(grades: dict[str, int]) -> dict[str, int]:
    return {passage: grade for passage, grade in grades.items() if grade >= 1}


def _relevant_pairs(collection: Collection, lists: Candidates, qrels: Qrels) -> BoolArray:
    """(P,) which pairs are judged relevant."""
    size = len(collection.corpus)
    ids = collection.queries.take_ids(lists.queries)
    lengths = [len(qrels[query]) for query in ids]
    passages = collection.corpus.find([passage for query in ids for passage in qrels[query]])
    relevant = np.repeat(np.arange(len(ids)), lengths)[passages >= 0] * size + passages[passages >= 0]
    return np.isin(lists.rows * size + lists.passages, relevant)
