"""Squeezed and broken scores are recognised."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.raw_scores import check_scores, looks_like_sigmoid, queries_with_spread
from st_mta.errors import InputError


def random(size, seed=0):
    return torch.randn(size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    "scores",
    [
        (6 * random(2000)).sigmoid(),
        (4 * random(2000) - 2).sigmoid(),
        (5 * random(2000) - 8).sigmoid(),
        (5 * random(2000) + 8).sigmoid(),
        (6 * random(2000)).sigmoid().bfloat16(),
        torch.tensor([0.999, 0.001, 0.4, torch.inf, *[torch.nan] * 9]),
    ],
    ids=["wide", "usual", "mostly irrelevant", "mostly relevant", "bfloat16", "few, others unknown"],
)
def test_a_sigmoid_is_recognised(scores):
    assert looks_like_sigmoid(scores)


@pytest.mark.parametrize(
    "scores",
    [
        6 * random(2000),
        (0.45 + 0.15 * random(2000)).clamp(0.1, 0.8),
        torch.linspace(0.1, 0.8, 2000),
        torch.linspace(0, 1, 2000),
        torch.cat([torch.zeros(1000), torch.linspace(0.1, 0.9, 1000)]),
        torch.cat([(6 * random(2000)).sigmoid(), torch.tensor([1.5])]),
        torch.cat([(6 * random(2000)).sigmoid(), torch.tensor([-0.01])]),
        torch.zeros(0),
        torch.tensor([torch.nan]),
    ],
    ids=["logits", "cosines", "even cosines", "even", "scaled bm25", "above 1", "below 0", "nothing", "unknown"],
)
def test_other_scores_are_not_taken_for_a_sigmoid(scores):
    assert not looks_like_sigmoid(scores)


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
