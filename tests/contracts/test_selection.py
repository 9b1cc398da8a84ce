"""What every selection metric promises."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.selection import SELECTIONS
from st_mta.distributions import masked_log_softmax


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


def test_the_order_of_the_pool_does_not_matter(metric, log_probs, mask):
    expected = metric(log_probs[:, 0], log_probs[:, 1:], mask)
    torch.testing.assert_close(metric(log_probs[:, 0], log_probs[:, 1:].flip(1), mask), expected.flip(1))


def test_identical_assistants_are_equally_far_and_one_alone_is_as_far_as_among_others(metric, log_probs, mask):
    expected = metric(log_probs[:, 0], log_probs[:, 1:2], mask)
    assert expected.shape == (6, 1)
    same = metric(log_probs[:, 0], log_probs[:, [1, 1, 2]], mask)
    torch.testing.assert_close(same[:, :2], expected.expand(-1, 2))


def test_adding_a_constant_to_the_scores_changes_nothing(metric, mask):
    scores = 3 * torch.randn(6, 4, 8, generator=torch.Generator().manual_seed(0))
    shifted = scores + torch.tensor([1.5, -4.0, 10.0, 0.0])[:, None]
    before, after = (masked_log_softmax(one, mask[:, None]) for one in (scores, shifted))
    torch.testing.assert_close(
        metric(after[:, 0], after[:, 1:], mask), metric(before[:, 0], before[:, 1:], mask), atol=1e-4, rtol=0
    )


def test_a_teacher_and_an_assistant_with_the_same_ties_have_distance_zero(metric, log_probs, mask):
    tied = masked_log_softmax((log_probs[:, 0].clamp(min=-9) / 3).round(), mask)
    assert (metric(tied, tied[:, None], mask).abs() < 1e-6).all()


def test_half_precision_is_computed_in_float32(metric, log_probs, mask):
    half = log_probs.bfloat16()
    distances = metric(half[:, 0], half[:, 1:], mask)
    assert distances.dtype == torch.float32
    torch.testing.assert_close(distances, metric(half[:, 0].float(), half[:, 1:].float(), mask))


@pytest.mark.parametrize("name", ["footrule", "rbo"])
def test_rankings_forget_everything_but_the_order(name, log_probs, mask):
    expected = SELECTIONS[name](log_probs[:, 0], log_probs[:, 1:], mask)
    torch.testing.assert_close(SELECTIONS[name](7 * log_probs[:, 0], 0.1 * log_probs[:, 1:] - 3, mask), expected)
