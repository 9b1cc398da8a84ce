"""Bytes: of what a run writes by the piece, and of what it holds in memory (measured by benchmarks/scale)."""

from __future__ import annotations

from st_mta.scorers import BM25
from st_mta.types import Scorer, Texts

PER_SCORE = 13
"""A stored score with the keys of its texts, compressed."""
PER_RANK = 8
"""A stored place in a ranking: score and passage."""
PER_ROW = 20
"""An embedding beside its numbers: the key of its text, and its share of the files' heads."""
PER_PAIR = 7
"""A passage of a list in a file of candidates."""
PER_LINE = 45
"""A line of a run file."""
OF_PAGES = 500_000
"""Report and plots."""
PER_NUMBER = {"fp32": 4, "fp16": 2}

OF_LIBRARIES = 600_000_000
PER_TEXT = 35 + 24
"""Id and offsets of a text, its key, and its place among copies."""
PER_TERM = 8 + 2 * 5
"""An entry of BM25's index, and the counts it is built from, which are there twice for a moment."""
BYTES_PER_TERM = 7
"""Of a passage's text for one of its different words."""
HELD_PER_RANK = 12
HELD_PER_PAIR = 37 + 100
"""A pair of a list with its scores, while these are looked up."""
PER_WEIGHT_TRAINED = 16
"""A weight, its gradient and two moments of Adam."""


def bytes_of(texts: Texts) -> int:
    """Of the texts themselves."""
    return int(texts.column.nbytes)


def held(corpus: Texts, queries: Texts, scorers: list[Scorer], student_weights: int, rankings: int, pairs: int) -> int:
    """Bytes in memory at the peak, about: everything that is held for the length of a run, and the largest tables.

    Args:
        corpus: The passages.
        queries: The queries.
        scorers: Teacher and assistants.
        student_weights: Of the student, which is trained.
        rankings: Places in all rankings of an iteration's queries, two retrievers at a time.
        pairs: In the lists of an iteration.
    """
    texts = bytes_of(corpus) + bytes_of(queries) + PER_TEXT * (len(corpus) + len(queries))
    index = PER_TERM * bytes_of(corpus) / BYTES_PER_TERM if any(isinstance(one, BM25) for one in scorers) else 0
    weights = 4 * sum(scorer.parameters for scorer in scorers) + PER_WEIGHT_TRAINED * student_weights
    return int(OF_LIBRARIES + texts + index + weights + HELD_PER_RANK * rankings + HELD_PER_PAIR * pairs)
