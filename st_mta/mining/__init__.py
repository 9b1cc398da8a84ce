"""Candidates from one or several retrievers."""

from __future__ import annotations

from st_mta.mining.best_windows import best_windows
from st_mta.mining.candidates import in_corpus_order, mine, searched_depth
from st_mta.mining.false_negatives import drop_false_negatives
from st_mta.mining.files import load_candidates, load_scored, save_candidates, save_scored
from st_mta.mining.near_positives import similarity_to_positives
from st_mta.mining.positives import positive_ranks
from st_mta.mining.relabelling import relabel
from st_mta.mining.sampling import SAMPLING_STRATEGIES

__all__ = [
    "SAMPLING_STRATEGIES",
    "best_windows",
    "drop_false_negatives",
    "in_corpus_order",
    "load_candidates",
    "load_scored",
    "mine",
    "positive_ranks",
    "relabel",
    "save_candidates",
    "save_scored",
    "searched_depth",
    "similarity_to_positives",
]
