"""What every selection metric promises."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.fusion import masked_log_softmax
from st_mta.assistants.selection import SELECTIONS


@pytest.fixture(params=SELECTIONS)
def metric(request):
    return SELECTIONS[request.param]


@pytest.fixture
def mask():
    mask = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0] = False
    mask[1] = torch.arange(8) == 5
    return mask


@pytest.fixture
def log_probs(mask):
    scores = 3 * torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(0))
    return masked_log_softmax(scores, mask[:, None])


def test_a_copy_of_the_teacher_has_distance_zero_and_others_more(metric, log_probs, mask):
    distances = metric(log_probs[:, 0], log_probs, mask)
    assert distances.shape == (6, 4)
    assert (distances[:, 0].abs() < 1e-6).all()
    assert (distances[2:, 1:] > 0.01).any(dim=1).all()
    assert (distances > -1e-6).all()


def test_lists_of_fewer_than_two_have_distance_zero(metric, log_probs, mask):
    distances = metric(log_probs[:, 0], log_probs[:, 1:], mask)
    assert (distances[:2].abs() < 1e-6).all()


def test_masked_candidates_have_no_influence(metric, log_probs, mask):
    expected = metric(log_probs[:, 0], log_probs[:, 1:], mask)
    for rubbish in (torch.tensor(torch.nan), torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(3))):
        spoilt = torch.where(mask[:, None], log_probs, rubbish)
        torch.testing.assert_close(metric(spoilt[:, 0], spoilt[:, 1:], mask), expected)


def test_the_order_of_candidates_does_not_matter(metric, log_probs, mask):
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    expected = metric(log_probs[:, 0], log_probs[:, 1:], mask)
    permuted = log_probs[..., order]
    torch.testing.assert_close(metric(permuted[:, 0], permuted[:, 1:], mask[:, order]), expected)


def test_queries_do_not_touch_each_other(metric, log_probs, mask):
    together = metric(log_probs[:, 0], log_probs[:, 1:], mask)
    alone = torch.cat([metric(p[None, 0], p[None, 1:], m[None]) for p, m in zip(log_probs, mask)])
    torch.testing.assert_close(alone, together)
