"""The nouns of the flow, one type each, and the letters used for shapes.

Letters: B batch, Q queries, N candidates of a query, P pairs (all candidates of all queries), S scorers
(scorer 0 is the teacher), A assistants, F fused and plain assistants, U distinct passages of a batch, D dimension.

Texts are addressed by *position* (int64) inside the program and by *id* (string) at its borders.
"""

from __future__ import annotations

from st_mta.types.arrays import BoolArray, FloatArray, IntArray
from st_mta.types.candidates import Candidates, Lists
from st_mta.types.collection import Collection
from st_mta.types.judgements import Judged, Qrels, by_query, graded, is_grade
from st_mta.types.ragged import Ragged, numbers_within, offsets_of, starts_of
from st_mta.types.retrieved import Retrieved, Run, run_of
from st_mta.types.scorer import Scorer
from st_mta.types.texts import Texts
from st_mta.types.windows import Windows, sum_of_best

__all__ = [
    "BoolArray",
    "Candidates",
    "Collection",
    "FloatArray",
    "IntArray",
    "Judged",
    "Lists",
    "Qrels",
    "Ragged",
    "Retrieved",
    "Run",
    "Scorer",
    "Texts",
    "Windows",
    "by_query",
    "graded",
    "is_grade",
    "numbers_within",
    "offsets_of",
    "run_of",
    "starts_of",
    "sum_of_best",
]
