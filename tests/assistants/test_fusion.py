"""Fusion equals the reference and the arithmetic of the papers' formulas."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants.fusion import (
    FUSION_WORDS,
    FUSIONS,
    fuse_mean,
    fuse_rrf,
    member_names,
    memberships,
    weighted_mean,
)
from st_mta.errors import InputError
from tests import reference

REFERENCES = {"mean": reference.fuse_mean, "rrf": reference.fuse_rrf}


def candidates(num_assistants, seed, batch=5, width=7, ties=False):
    generator = torch.Generator().manual_seed(seed)
    scores = 3 * torch.randn(batch, num_assistants, width, generator=generator)
    if ties:
        scores = scores.round()
    mask = torch.rand(batch, width, generator=generator) > 0.3
    mask[0], mask[1], mask[2] = True, False, False
    mask[2, 3] = True
    scores = scores.masked_fill(~mask[:, None], torch.nan)
    return scores, mask


def everyone(*shape):
    return torch.ones(shape, dtype=torch.bool)


def test_all_memberships_come_by_size_then_in_pool_order():
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]]
    assert memberships(3).int().tolist() == expected
    assert memberships(3, "pairs").int().tolist() == expected[:6]
    assert memberships(3, "none").int().tolist() == expected[:3]


@pytest.mark.parametrize("combinations", ["all", "pairs", "none"])
def test_one_assistant_is_the_whole_pool(combinations):
    assert memberships(1, combinations).tolist() == [[True]]


def test_no_assistant_makes_an_empty_pool():
    assert memberships(0).shape == (0, 0)


def test_too_many_combinations_are_refused_with_the_way_out():
    assert len(memberships(8)) == 255
    with pytest.raises(InputError, match="combinations='pairs'"):
        memberships(9)
    assert len(memberships(9, "pairs")) == 9 + 36


def test_unknown_combinations_are_refused():
    with pytest.raises(InputError, match="'triples'"):
        memberships(3, "triples")


def test_members_are_named_by_their_assistants():
    assert member_names(["bm25", "minilm", "tas"], memberships(3)) == [
        "bm25", "minilm", "tas", "bm25+minilm", "bm25+tas", "minilm+tas", "bm25+minilm+tas"
    ]  # fmt: skip


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("num_assistants", [1, 2, 3, 4])
@pytest.mark.parametrize("rule", FUSIONS)
def test_fusion_equals_the_reference(rule, num_assistants, ties):
    table = memberships(num_assistants)
    for seed in range(3):
        scores, mask = candidates(num_assistants, seed, ties=ties)
        fused = FUSIONS[rule](scores, table, mask)
        for b in range(len(scores)):
            for f, row in enumerate(table.tolist()):
                members = [a for a, inside in enumerate(row) if inside]
                expected = REFERENCES[rule](scores[b].tolist(), members, mask[b].tolist())
                assert fused[b, f].exp().tolist() == pytest.approx(expected, abs=2e-6)


def test_mean_by_hand():
    # softmax(log 3, 0) = (3/4, 1/4) and softmax(0, log 9) = (1/10, 9/10)
    scores = torch.tensor([[[math.log(3), 0.0], [0.0, math.log(9)]]])
    fused = fuse_mean(scores, memberships(2), everyone(1, 2))
    assert fused[0, 2].exp().tolist() == pytest.approx([(3 / 4 + 1 / 10) / 2, (1 / 4 + 9 / 10) / 2])


@pytest.mark.parametrize("num_assistants", [1, 2, 4])
@pytest.mark.parametrize("weights", [[0.1, 0.2, 0.3, 0.4], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 5.0, 2.0], [0.0] * 4])
def test_weighted_mean_equals_the_reference(weights, num_assistants):
    table, weights = memberships(num_assistants), weights[:num_assistants]
    scores, mask = candidates(num_assistants, seed=num_assistants)
    fused = weighted_mean(weights)(scores, table, mask)
    for b in range(len(scores)):
        for f, row in enumerate(table.tolist()):
            members = [a for a, inside in enumerate(row) if inside]
            expected = reference.fuse_weighted(scores[b].tolist(), members, mask[b].tolist(), weights)
            assert fused[b, f].exp().tolist() == pytest.approx(expected, abs=2e-6)


def test_weighted_mean_by_hand():
    # (3/4, 1/4) and (1/10, 9/10) again, the first three times as heavy.
    scores = torch.tensor([[[math.log(3), 0.0], [0.0, math.log(9)]]])
    fused = weighted_mean([0.75, 0.25])(scores, memberships(2), everyone(1, 2))
    expected = [3 / 4 * 3 / 4 + 1 / 4 * 1 / 10, 3 / 4 * 1 / 4 + 1 / 4 * 9 / 10]
    assert fused[0, 2].exp().tolist() == pytest.approx(expected)


def test_weights_are_copied_to_a_device_once(monkeypatch):
    rule, scores, mask = weighted_mean([1.0, 3.0]), torch.tensor([[[1.0, 2.0], [2.0, 0.0]]]), torch.ones(1, 2).bool()
    first = rule(scores, memberships(2), mask)
    monkeypatch.setattr(torch, "tensor", None)  # a copy of numbers would wait for an accelerator in every step
    assert torch.equal(rule(scores, torch.ones(1, 2).bool(), mask), first[:, 2:])


def test_equal_weights_are_the_simple_mean_whatever_their_sum():
    scores, mask = candidates(3, seed=0)
    expected = fuse_mean(scores, memberships(3), mask)
    for weight in (0.0, 1 / 3, 17.0):
        torch.testing.assert_close(weighted_mean([weight] * 3)(scores, memberships(3), mask), expected)


@pytest.mark.parametrize("weights", [[0.5, -0.1], [math.nan, 1.0], [math.inf, 1.0]])
def test_weights_that_make_no_distribution_are_refused(weights):
    with pytest.raises(InputError, match="finite and not negative"):
        weighted_mean(weights)


def test_the_words_are_the_rules_and_weighted():
    assert FUSION_WORDS == ("mean", "rrf", "weighted")


def test_rrf_by_hand():
    scores = torch.tensor([[[3.0, 2.0, 1.0], [3.0, 1.0, 2.0]]])
    sums = [1 / (60 + 1) + 1 / (60 + 1), 1 / (60 + 2) + 1 / (60 + 3), 1 / (60 + 3) + 1 / (60 + 2)]
    # The last two are equal: standardised, the three are sqrt(2), -1/sqrt(2), -1/sqrt(2) whatever the sums are.
    assert sums[1] == sums[2] < sums[0]
    high, low = math.exp(2 * math.sqrt(2)), math.exp(-2 / math.sqrt(2))
    fused = fuse_rrf(scores, memberships(2), everyone(1, 3))
    total = high + 2 * low
    assert fused[0, 2].exp().tolist() == pytest.approx([high / total, low / total, low / total], rel=1e-4)


def test_rrf_weighs_the_top_of_the_list():
    scores = torch.tensor([[[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]]])
    # Places (1, 3), (2, 2), (3, 1): 1/61 + 1/63 is more than 2/62.
    sharp = fuse_rrf(scores, memberships(2), everyone(1, 3))[0, 2].exp()
    assert sharp[0] == sharp[2] > sharp[1]


@pytest.mark.parametrize("width", [3, 4, 5])
def test_rrf_of_cyclic_ranks_is_uniform(width):
    # Every candidate has every place once; the sums differ by rounding alone, which must not be blown up.
    scores = torch.stack([torch.arange(float(width)).roll(shift) for shift in range(width)])[None]
    fused = fuse_rrf(scores, memberships(width), everyone(1, width))
    assert fused[0, -1].exp().tolist() == pytest.approx([1 / width] * width)


def test_rrf_tied_candidates_stay_tied():
    scores = torch.tensor([[[2.0, 2.0, 1.0], [5.0, 5.0, 4.0]]])
    fused = fuse_rrf(scores, memberships(2), everyone(1, 3))[0, 2]
    assert fused[0] == fused[1] > fused[2]


def test_the_mean_does_not_underflow():
    scores = torch.tensor([[[0.0, 300.0], [0.0, 400.0]]])
    fused = fuse_mean(scores, memberships(2), everyone(1, 2))
    # log((e^-300 + e^-400) / 2), and e^-300 is no float32
    assert fused[0, 2, 0].item() == pytest.approx(-300 - math.log(2))


def test_half_precision_is_computed_in_float32():
    scores, mask = candidates(2, seed=0)
    fused = fuse_mean(scores.bfloat16(), memberships(2), mask)
    assert fused.dtype == torch.float32
    assert torch.equal(fused, fuse_mean(scores.bfloat16().float(), memberships(2), mask))
