"""Broken scores and queries without order are recognised."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.raw_scores import check_scores, queries_with_spread
from st_mta.errors import InputError


def test_check_scores_says_who_how_many_and_where():
    scores = torch.zeros(3, 4)
    check_scores("bm25", scores)
    scores[1, 2], scores[2, 0] = torch.nan, torch.inf
    with pytest.raises(InputError, match=r"from bm25, got 2 of 12 NaN or infinite, the first is nan at \(1, 2\)"):
        check_scores("bm25", scores)
    check_scores("bm25", scores, scores.isfinite())


def test_queries_with_spread_are_those_whose_valid_scores_differ():
    scores = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [1.0, 2.0, torch.nan]])
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    assert queries_with_spread("bm25", scores, mask).tolist() == [True, False, True]
    with pytest.raises(InputError, match="scores of bm25 that differ"):
        queries_with_spread("bm25", scores[1:2], mask[1:2])
