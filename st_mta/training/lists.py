"""From candidates and scores to lists a student can learn from (all vectorised over pairs)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from st_mta.types import BoolArray, Candidates, Collection, FloatArray, IntArray, Run


def drop_unscored(candidates: Candidates, scores: FloatArray) -> tuple[Candidates, FloatArray, int]:
    """Leaves out pairs the teacher knows nothing about (NaN, from stored scores) and queries left with fewer than two.

    Args:
        candidates: P pairs.
        scores: (S, P) raw scores, scorer 0 is the teacher.

    Returns:
        The kept candidates, their scores, and the number of queries dropped.
    """
    known = ~np.isnan(scores[0])
    candidates, scores = candidates.keep(known), scores[:, known]
    rows = np.flatnonzero(candidates.lengths >= 2)
    kept = np.isin(candidates.rows, rows)
    return candidates.select(rows), scores[:, kept], len(candidates) - len(rows)


def fill_missing(candidates: Candidates, scores: FloatArray) -> FloatArray:
    """A pair an assistant does not list gets that assistant's lowest score in the query's list (0 where it has none).

    A run file holds what a system ranked highest: what it does not list it ranked lower.

    Args:
        candidates: Q queries with P pairs, none of them empty.
        scores: (S, P) with NaN where an assistant knows nothing.
    """
    filled = scores.copy()
    for scorer in np.flatnonzero(np.isnan(scores).any(axis=1)):
        lowest = np.fmin.reduceat(scores[scorer], candidates.offsets[:-1])
        lowest = np.nan_to_num(lowest, nan=0.0)[candidates.rows]
        missing = np.isnan(scores[scorer])
        filled[scorer, missing] = lowest[missing]
    return filled


def mark_pseudo_positives(candidates: Candidates, teacher_scores: FloatArray) -> Candidates:
    """Where no passage of a query is labelled relevant, the teacher's best one is taken for it.

    Args:
        candidates: Q queries with P pairs, none of them empty.
        teacher_scores: (P,) the teacher's raw scores; ties go to the first.
    """
    unlabelled = ~np.logical_or.reduceat(candidates.positive, candidates.offsets[:-1])
    order = np.lexsort((-teacher_scores, candidates.rows))
    best = order[candidates.offsets[:-1]]
    positive = candidates.positive.copy()
    positive[best[unlabelled]] = True
    return replace(candidates, positive=positive)


def padded(candidates: Candidates, scores: FloatArray, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
    """Scores of one scorer for some queries as a padded (Q, N) tensor, with its mask.

    Args:
        candidates: P pairs.
        scores: (P,) raw scores.
        rows: (Q,) row numbers.
    """
    lengths = candidates.lengths[rows]
    mask: BoolArray = np.arange(lengths.max(initial=1)) < lengths[:, None]
    out = np.zeros(mask.shape, dtype=np.float32)
    out[mask] = scores[candidates.pairs_of(rows)]
    return torch.from_numpy(out), torch.from_numpy(mask)


def padded_scores(candidates: Candidates, scores: FloatArray, rows: IntArray) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for all scorers: (S, P) scores as (Q, S, N), with the mask (Q, N)."""
    each = [padded(candidates, one, rows) for one in scores]
    return torch.stack([one for one, _ in each], dim=1), each[0][1]


def rows_of(candidates: Candidates, queries: IntArray) -> IntArray:
    """Row numbers of these query positions, in their order; queries without a row are left out."""
    order = np.argsort(candidates.queries, kind="stable")
    place = np.searchsorted(candidates.queries, queries, sorter=order).clip(max=len(order) - 1)
    rows = order[place]
    return rows[candidates.queries[rows] == queries]


def as_run(collection: Collection, candidates: Candidates, scores: FloatArray) -> Run:
    """The candidates under these (P,) scores as a run with ids."""
    query_ids = collection.queries.take_ids(candidates.queries)
    passage_ids, values = collection.corpus.take_ids(candidates.passages), scores.tolist()
    ends = candidates.offsets.tolist()
    return {
        query_id: dict(zip(passage_ids[start:end], values[start:end]))
        for query_id, start, end in zip(query_ids, ends[:-1], ends[1:])
    }
