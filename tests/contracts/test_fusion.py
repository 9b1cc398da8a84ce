"""What every fusion rule promises, whatever it computes."""

from __future__ import annotations

import pytest
import torch

from st_mta.assistants.fusion import FUSIONS, memberships, weighted_mean
from st_mta.distributions import masked_log_softmax

RULES = {
    **FUSIONS,
    "weighted": weighted_mean([0.5, 0.3, 0.2]),
    "weighted, one at zero": weighted_mean([0.4, 0.0, 0.6]),
}


@pytest.fixture(params=RULES)
def fuse(request):
    return RULES[request.param]


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


@pytest.mark.parametrize("rule", FUSIONS)
def test_the_order_of_assistants_does_not_matter(rule, scores, mask):
    everyone = torch.ones(1, 3, dtype=torch.bool)
    torch.testing.assert_close(FUSIONS[rule](scores, everyone, mask), FUSIONS[rule](scores.flip(1), everyone, mask))


def test_weights_go_with_their_assistants(scores, mask):
    everyone, weights = torch.ones(1, 3, dtype=torch.bool), [0.5, 0.3, 0.2]
    turned = weighted_mean(weights[::-1])(scores.flip(1), everyone, mask)
    torch.testing.assert_close(turned, weighted_mean(weights)(scores, everyone, mask))


def test_the_order_of_the_pool_is_that_of_the_memberships(fuse, scores, mask):
    order = torch.randperm(7, generator=torch.Generator().manual_seed(2))
    expected = fuse(scores, memberships(3), mask)[:, order]
    torch.testing.assert_close(fuse(scores, memberships(3)[order], mask), expected)


def test_identical_assistants_agree_in_every_combination(fuse, scores, mask):
    fused = fuse(scores[:, :1].expand(-1, 3, -1), memberships(3), mask)
    torch.testing.assert_close(fused[:, 1:3], fused[:, :1].expand(-1, 2, -1))
    torch.testing.assert_close(fused[:, 4:], fused[:, 3:4].expand(-1, 3, -1))
    # What they agree on stays: two candidates keep their order.
    plain, pair = (fused[:, member, :, None] - fused[:, member, None, :] for member in (0, 3))
    assert (plain.sign() == pair.sign())[mask[:, :, None] & mask[:, None, :]].all()


def test_the_only_assistant_is_itself(mask, scores):
    for rule in (*FUSIONS.values(), weighted_mean([1.0]), weighted_mean([0.0])):
        alone = rule(scores[:, :1], memberships(1), mask)
        torch.testing.assert_close(alone, masked_log_softmax(scores[:, :1], mask[:, None]))


def test_what_all_assistants_tie_stays_tied(fuse, scores, mask):
    scores[..., 3] = scores[..., 4]
    mask[:, 3] = mask[:, 4] = True
    fused = fuse(scores, memberships(3), mask)
    torch.testing.assert_close(fused[..., 3], fused[..., 4])


def test_assistants_that_tell_nothing_apart_make_uniform_distributions(fuse, mask):
    fused = fuse(torch.full((6, 3, 8), 0.1), memberships(3), mask).exp()
    uniform = mask / mask.sum(-1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(fused, uniform[:, None].expand(-1, 7, -1))


def test_half_precision_is_computed_in_float32(fuse, scores, mask):
    fused = fuse(scores.bfloat16(), memberships(3), mask)
    assert fused.dtype == torch.float32
    assert torch.equal(fused, fuse(scores.bfloat16().float(), memberships(3), mask))


def test_reciprocal_ranks_forget_everything_but_the_order(scores, mask):
    expected = FUSIONS["rrf"](scores, memberships(3), mask)[:, 3:]
    bent = torch.tensor([0.1, 2.0, 30.0])[:, None] * scores.sinh() - 3
    torch.testing.assert_close(FUSIONS["rrf"](bent, memberships(3), mask)[:, 3:], expected)


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
