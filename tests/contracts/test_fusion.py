"""What every fusion rule promises, whatever it computes."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.fusion import FUSIONS, masked_log_softmax, memberships


@pytest.fixture(params=FUSIONS)
def fuse(request):
    return FUSIONS[request.param]


@pytest.fixture
def scores():
    return 3 * torch.randn(6, 3, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def mask():
    mask = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0] = False
    mask[1] = torch.arange(8) == 5
    return mask


def test_gives_distributions_over_the_valid_candidates(fuse, scores, mask):
    fused = fuse(scores, memberships(3), mask)
    assert fused.shape == (6, 7, 8)
    assert (fused[~mask[:, None].expand_as(fused)] == -torch.inf).all()
    torch.testing.assert_close(fused.exp().sum(-1), mask.any(-1).float()[:, None].expand(6, 7))
    assert not fused.isnan().any()


def test_masked_scores_have_no_influence(fuse, scores, mask):
    expected = fuse(scores, memberships(3), mask)
    for rubbish in (torch.nan, torch.inf, -torch.inf, 1e30):
        spoilt = scores.masked_fill(~mask[:, None], rubbish)
        torch.testing.assert_close(fuse(spoilt, memberships(3), mask), expected)


def test_a_plain_assistant_keeps_its_calibrated_distribution(fuse, scores, mask):
    fused = fuse(scores, memberships(3), mask)
    torch.testing.assert_close(fused[:, :3], masked_log_softmax(scores, mask[:, None]))


def test_the_order_of_candidates_does_not_matter(fuse, scores, mask):
    scores = scores.round()  # with ties
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    expected = fuse(scores, memberships(3), mask)[:, :, order]
    torch.testing.assert_close(fuse(scores[:, :, order], memberships(3), mask[:, order]), expected)


def test_the_order_of_assistants_does_not_matter(fuse, scores, mask):
    everyone = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(fuse(scores, everyone, mask), fuse(scores.flip(1), everyone, mask))


def test_adding_a_constant_to_an_assistant_changes_nothing(fuse, scores, mask):
    shifted = scores + torch.tensor([1.5, -4.0, 10.0])[None, :, None]
    torch.testing.assert_close(
        fuse(shifted, memberships(3), mask), fuse(scores, memberships(3), mask), atol=1e-4, rtol=0
    )


def test_queries_do_not_touch_each_other(fuse, scores, mask):
    together = fuse(scores, memberships(3), mask)
    torch.testing.assert_close(
        torch.cat([fuse(s[None], memberships(3), m[None]) for s, m in zip(scores, mask)]), together
    )


def test_what_all_assistants_rank_first_stays_first(fuse, scores, mask):
    scores[..., 2] = 50
    mask[:, 2] = True
    assert (fuse(scores, memberships(3), mask).argmax(-1) == 2).all()
