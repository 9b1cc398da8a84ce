"""Broken scores and queries without order are recognised."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.calibration import check_scores, fit_temperature
from st_mta.errors import InputError


def test_check_scores_says_who_how_many_and_where():
    scores, mask = torch.zeros(3, 4), torch.ones(3, 4) > 0
    check_scores("bm25", scores, mask)
    scores[1, 2], scores[2, 0] = torch.nan, torch.inf
    with pytest.raises(InputError, match=r"from bm25, got 2 of 12 NaN or infinite, the first is nan at \(1, 2\)"):
        check_scores("bm25", scores, mask)
    check_scores("bm25", scores, scores.isfinite())


def test_queries_whose_valid_scores_are_all_equal_do_not_count():
    scores = torch.tensor([[1.0, 1.0, 2.0], [1.0, 1.0, 2.0], [1.0, 2.0, torch.nan]])
    mask = torch.tensor([[True, True, True], [True, True, False], [True, True, False]])
    assert fit_temperature(scores, mask, 0.5) == fit_temperature(scores[[0, 2]], mask[[0, 2]], 0.5)
    with pytest.raises(InputError, match="scores of bm25 that differ"):
        fit_temperature(scores[1:2], mask[1:2], 0.5, "bm25")
