"""Distances equal the reference; the closest member wins and ties go to the first."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.assistants.selection import SELECTIONS, footrule, kl_divergence, rank_biased_overlap, select
from st_mta.distributions import masked_log_softmax
from st_mta.errors import InputError
from tests import reference

REFERENCES = {"kl": None, "footrule": reference.footrule, "rbo": reference.rank_biased_distance}


def distributions(seed, batch=6, members=4, width=8, ties=False):
    generator = torch.Generator().manual_seed(seed)
    scores = 2 * torch.randn(batch, members + 1, width, generator=generator)
    if ties:
        scores = scores.round()
    mask = torch.rand(batch, width, generator=generator) > 0.3
    mask[0], mask[1] = True, False
    mask[2] = torch.arange(width) == 3
    log_probs = masked_log_softmax(scores, mask[:, None])
    return log_probs[:, 0], log_probs[:, 1:], mask


def log(*probabilities):
    return torch.tensor(probabilities).log()


@pytest.mark.parametrize("ties", [False, True], ids=["distinct", "ties"])
@pytest.mark.parametrize("metric", SELECTIONS)
def test_distances_equal_the_reference(metric, ties):
    expected_of = REFERENCES[metric] or (lambda p, q, mask: reference.kl(p, q))
    for seed in range(4):
        teacher, fused, mask = distributions(seed, ties=ties)
        distances = SELECTIONS[metric](teacher, fused, mask)
        assert distances.shape == (6, 4)
        for b in range(6):
            for f in range(4):
                expected = expected_of(teacher[b].exp().tolist(), fused[b, f].exp().tolist(), mask[b].tolist())
                assert distances[b, f].item() == pytest.approx(expected, abs=2e-6)


def test_kl_by_hand_and_its_direction():
    teacher, assistant = log(3 / 4, 1 / 4), log(1 / 2, 1 / 2)
    everyone = torch.ones(1, 2, dtype=torch.bool)
    forward = kl_divergence(teacher[None], assistant[None, None], everyone).item()
    assert forward == pytest.approx(3 / 4 * math.log((3 / 4) / (1 / 2)) + 1 / 4 * math.log((1 / 4) / (1 / 2)))
    backward = kl_divergence(assistant[None], teacher[None, None], everyone).item()
    assert backward == pytest.approx(1 / 2 * math.log((1 / 2) / (3 / 4)) + 1 / 2 * math.log((1 / 2) / (1 / 4)))
    assert forward != pytest.approx(backward, rel=0.05)


def test_kl_of_an_assistant_that_rules_out_a_candidate_is_infinite_not_nan():
    everyone = torch.ones(1, 2, dtype=torch.bool)
    assert kl_divergence(log(0.5, 0.5)[None], log(1.0, 0.0)[None, None], everyone).item() == math.inf
    assert kl_divergence(log(1.0, 0.0)[None], log(0.5, 0.5)[None, None], everyone).item() == pytest.approx(math.log(2))


def test_footrule_by_hand():
    teacher, assistant = log(0.4, 0.3, 0.2, 0.1), log(0.3, 0.4, 0.1, 0.2)
    # Places 1 2 3 4 against 2 1 4 3; the greatest sum for four is |1 - 4| + |2 - 3| + |3 - 2| + |4 - 1|.
    expected = (1 + 1 + 1 + 1) / (3 + 1 + 1 + 3)
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert footrule(teacher[None], assistant[None, None], mask).item() == pytest.approx(expected)


@pytest.mark.parametrize("width", [2, 3, 4, 5, 8])
def test_footrule_of_a_reversed_list_is_one(width):
    teacher = torch.arange(width).float().log_softmax(0)
    mask = torch.ones(1, width, dtype=torch.bool)
    assert footrule(teacher[None], teacher.flip(0)[None, None], mask).item() == pytest.approx(1)


def test_rank_biased_overlap_by_hand():
    teacher, assistant = log(0.5, 0.3, 0.2), log(0.3, 0.5, 0.2)
    # Nothing in common at depth 1, two of two at depth 2, three of three at depth 3.
    overlap = (0 + 0.9 * 2 / 2 + 0.9**2 * 3 / 3) / (1 + 0.9 + 0.9**2)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert rank_biased_overlap(teacher[None], assistant[None, None], mask).item() == pytest.approx(1 - overlap)


def test_rank_biased_overlap_cares_most_for_the_top():
    teacher = log(0.4, 0.3, 0.2, 0.1)
    top, bottom = log(0.3, 0.4, 0.2, 0.1), log(0.4, 0.3, 0.1, 0.2)
    mask = torch.ones(1, 4, dtype=torch.bool)
    distance = rank_biased_overlap(teacher[None], torch.stack([top, bottom])[None], mask)[0]
    assert distance[0] > distance[1] > 0


def test_a_ruled_out_candidate_still_ranks_before_masked_ones():
    mask = torch.tensor([[False, True, True]])
    teacher = torch.tensor([[-torch.inf, 0.0, -torch.inf]])
    assert footrule(teacher, teacher[:, None], mask).item() == 0
    assert footrule(teacher, torch.tensor([[[-torch.inf, -torch.inf, 0.0]]]), mask).item() == 1


def test_ties_keep_candidate_order():
    teacher, tied = log(0.5, 0.3, 0.2), log(1 / 3, 1 / 3, 1 / 3)
    mask = torch.ones(1, 3, dtype=torch.bool)
    assert footrule(teacher[None], tied[None, None], mask).item() == 0
    assert footrule(teacher.flip(0)[None], tied[None, None], mask).item() == 1


def test_select_per_batch_takes_the_smallest_mean():
    distances = torch.tensor([[0.1, 0.3], [0.9, 0.6]])  # means .5 and .45
    assert select(distances, "batch").tolist() == [1, 1]


def test_select_per_query_takes_each_querys_smallest():
    assert select(torch.tensor([[0.1, 0.3], [0.9, 0.6]]), "query").tolist() == [0, 1]


def test_queries_that_do_not_count_have_no_vote():
    distances = torch.tensor([[0.1, 0.3], [torch.inf, 0.0], [torch.nan, 0.0]])
    assert select(distances, "batch", torch.tensor([True, False, False])).tolist() == [0, 0, 0]


def test_a_batch_without_votes_takes_the_first():
    assert select(torch.tensor([[0.5, 0.1]]), "batch", torch.tensor([False])).tolist() == [0]


@pytest.mark.parametrize("per", ["batch", "query"])
def test_ties_go_to_the_first_in_pool_order(per):
    assert select(torch.tensor([[0.5, 0.2, 0.2, 0.2]]), per).tolist() == [1]
    assert select(torch.tensor([[0.5, 0.2 + 1e-7, 0.2, 0.3]]), per).tolist() == [1]


@pytest.mark.parametrize("per", ["batch", "query"])
def test_an_undefined_distance_never_wins(per):
    assert select(torch.tensor([[torch.nan, 0.7, torch.inf]]), per).tolist() == [1]


def test_an_unknown_per_is_refused():
    with pytest.raises(InputError, match="'epoch'"):
        select(torch.zeros(1, 1), "epoch")
