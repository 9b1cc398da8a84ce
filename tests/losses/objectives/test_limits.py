"""Objectives where they are known in closed form: two candidates, one step, a uniform target, other methods."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from st_mta.losses import OBJECTIVES, ListwiseKLLoss
from st_mta.losses.info_nce import info_nce
from st_mta.losses.objectives.approximate_ranks import adr_mse, approx_mrr, approximate_ranks
from st_mta.losses.objectives.correlation import pearson
from st_mta.losses.objectives.divergences import listwise_kl
from st_mta.losses.objectives.margins import margin_mse
from st_mta.losses.objectives.orders import average_ranks, places
from st_mta.losses.objectives.pairwise import lambda_rank, ranknet
from st_mta.losses.objectives.plackett_luce import plackett_luce
from tests.losses.conftest import column_batch

EVERYONE = torch.ones(4, 6, dtype=torch.bool)
NOBODY = ~EVERYONE
FIRST = torch.arange(6).expand(4, 6) == 0


@pytest.fixture
def student():
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


@pytest.fixture
def target():
    return torch.randn(4, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64).log_softmax(-1)


@pytest.fixture
def embedded(request):
    from tests.tiny import tiny_sentence_transformer

    return tiny_sentence_transformer(seed=1)


def gradient(value, student):
    return torch.autograd.grad(value.sum(), student)[0]


# --- two candidates: all orders are one pair ---------------------------------------------------------------------


def test_of_two_candidates_orders_are_the_logistic_loss_of_their_difference():
    student, target = torch.tensor([[0.3, -0.9]]), torch.tensor([[-1.0, -2.0]])
    two, none = EVERYONE[:1, :2], NOBODY[:1, :2]
    logistic = F.softplus(torch.tensor([-1.2]))
    torch.testing.assert_close(plackett_luce(student, target, two, positive=none), logistic)
    torch.testing.assert_close(ranknet(student, target, two), logistic)
    certain = torch.tensor([[0.0, -torch.inf]])
    torch.testing.assert_close(listwise_kl(student, certain, two), logistic)
    torch.testing.assert_close(ranknet(student, certain, two, preferences="soft"), logistic)
    soft = listwise_kl(student, target.log_softmax(-1), two)
    torch.testing.assert_close(ranknet(student, target, two, preferences="soft"), soft)
    assert pearson(student, target, two).item() == pytest.approx(0, abs=1e-6)
    assert pearson(-student, target, two).item() == pytest.approx(2)


# --- a target that prefers nothing -------------------------------------------------------------------------------


@pytest.mark.parametrize("word", ["ranknet", "lambda", "pearson"])
def test_a_uniform_target_teaches_no_order(word, student):
    uniform = torch.full((4, 6), -math.log(6), dtype=torch.float64)
    values = OBJECTIVES[word](student, uniform, EVERYONE)
    assert (values == 0).all() and (gradient(values, student) == 0).all()


def test_a_uniform_target_wants_equal_scores_of_distances(student):
    uniform, equal = torch.full((4, 6), -math.log(6), dtype=torch.float64), torch.zeros_like(student)
    for values in (
        margin_mse(equal, uniform, EVERYONE, positive=FIRST),
        ranknet(equal, uniform, EVERYONE, preferences="soft"),
        adr_mse(equal, uniform, EVERYONE),
        listwise_kl(equal, uniform, EVERYONE),
    ):
        torch.testing.assert_close(values, torch.zeros(4, dtype=torch.float64))


def test_a_student_that_tells_nothing_apart_has_no_correlation_and_no_gradient(target):
    equal = torch.full((4, 6), 0.3, dtype=torch.float64, requires_grad=True)
    values = pearson(equal, target, EVERYONE)
    assert (values == 1).all() and (gradient(values, equal) == 0).all()


# --- Plackett-Luce and its relatives -----------------------------------------------------------------------------


def test_cut_to_one_step_it_is_cross_entropy(student, target):
    positives = {"order": "positives-first", "top": 1}
    values = plackett_luce(student, target, EVERYONE, positive=FIRST, **positives)
    torch.testing.assert_close(values, F.cross_entropy(student, torch.zeros(4, dtype=torch.int64), reduction="none"))
    torch.testing.assert_close(values, info_nce(student, FIRST, ~FIRST))
    best = plackett_luce(student, target, EVERYONE, positive=NOBODY, top=1)
    torch.testing.assert_close(best, F.cross_entropy(student, target.argmax(-1), reduction="none"))
    without = plackett_luce(student, target, EVERYONE, positive=NOBODY, **positives)
    torch.testing.assert_close(without, best)


def test_one_step_with_the_batch_is_info_nce_over_it(student, target):
    others = torch.randn(4, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    valid = torch.tensor([True, False, True]).expand(4, 3)
    options = {"order": "positives-first", "top": 1, "in_batch": True, "others": (others, valid)}
    negative = torch.cat([~FIRST, valid], dim=-1)
    everything = info_nce(torch.cat([student, others], dim=-1), torch.cat([FIRST, ~valid & False], dim=-1), negative)
    torch.testing.assert_close(plackett_luce(student, target, EVERYONE, positive=FIRST, **options), everything)


def test_syntriever_is_two_cross_entropies_the_second_without_the_preferred(target):
    """A batch of pairs (preferred, dispreferred): the second step is over all but the query's own preferred one."""
    student = torch.tensor([[0.9, 0.1]], dtype=torch.float64)
    further = torch.tensor([[0.4, -0.2]], dtype=torch.float64)
    options = {"order": "positives-first", "top": 2, "in_batch": True, "others": (further, further < 9)}
    value = plackett_luce(student, target[:1, :2], EVERYONE[:1, :2], positive=FIRST[:1, :2], **options)
    first = F.cross_entropy(torch.cat([student, further], dim=-1), torch.tensor([0]))
    second = F.cross_entropy(torch.cat([student[:, 1:], further], dim=-1), torch.tensor([0]))
    torch.testing.assert_close(value.squeeze(), first + second)


def test_weights_by_confidence_are_list_mle_times_the_targets_probabilities():
    """PLD by hand: the positive first, although the target holds it worst."""
    student, target = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[0.2, 0.5, 0.3]]).log()
    positive = torch.tensor([[True, False, False]])
    options = {"order": "positives-first", "weights": "confidence"}
    value = plackett_luce(student, target, positive | True, positive=positive, **options)
    e = [1.0, math.e, math.e**2]
    assert value.item() == pytest.approx(0.2 * math.log(sum(e)) + 0.5 * (math.log(e[1] + e[2]) - 1))


def test_only_hard_negatives_are_ordered():
    """CPRD by hand: of the negatives 1, 2, 3 the student's two best are 1 and 3; the target holds 3 easy."""
    student, target = torch.tensor([[9.0, 2.0, 0.0, 1.0]]), torch.tensor([[-9.0, 0.0, 5.0, -2.0]])
    options = {"positive": torch.tensor([[True, False, False, False]]), "order": "negatives", "hardest": 2}
    value = plackett_luce(student, target, student > -9, **options)
    assert value.item() == pytest.approx(math.log(math.e**2 + math.e) - 2)
    student.requires_grad_()
    ordered = gradient(plackett_luce(student, target, student > -9, **options), student)
    assert (ordered[0, [0, 2]] == 0).all() and (ordered[0, [1, 3]] != 0).all()
    assert plackett_luce(student, target, student > -9, **options, least=0.9).item() == 0
    assert plackett_luce(student, target, student > -9, **options, least=0.8).item() == value.item()


def test_its_gradient_does_not_vanish_at_the_target(target):
    logits = target.clone().requires_grad_()
    values = plackett_luce(logits, target, EVERYONE, positive=NOBODY)
    assert gradient(values, logits).abs().max() > 0.1


# --- margins -----------------------------------------------------------------------------------------------------


def test_several_positives_count_alike_and_the_targets_best_stands_in_for_none(student, target):
    two = torch.arange(6).expand(4, 6) < 2
    both = margin_mse(student, target, EVERYONE, positive=two)
    alone = [margin_mse(student, target, EVERYONE & (~two | one), positive=one) for one in (FIRST, two & ~FIRST)]
    torch.testing.assert_close(both, sum(alone) / 2)
    best = places(target, EVERYONE) == 1
    torch.testing.assert_close(
        margin_mse(student, target, EVERYONE, positive=NOBODY), margin_mse(student, target, EVERYONE, positive=best)
    )
    assert (margin_mse(student, target, EVERYONE, positive=EVERYONE) == 0).all()


def test_from_several_teachers_the_gradient_is_that_of_their_mean_margins(embedded):
    embeddings, label = column_batch(0, scorers=3)
    label = label.nan_to_num(1.5, 1.5, -1.5)
    loss = ListwiseKLLoss(embedded, scale=2.0, objective="margin-mse", alpha=1 / 3)
    several = torch.autograd.grad(loss.compute_loss_from_embeddings(embeddings, label), embeddings)
    mean = loss.compute_loss_from_embeddings(embeddings, label.mean(dim=1))
    for one, other in zip(several, torch.autograd.grad(mean, embeddings)):
        torch.testing.assert_close(one, other)


# --- ranks -------------------------------------------------------------------------------------------------------


def test_the_colder_the_closer_approximate_ranks_are_to_the_true_ones(student):
    true = average_ranks(student.detach(), EVERYONE)
    errors = [(approximate_ranks(student, EVERYONE, t) - true).abs().max().item() for t in (1.0, 0.1, 0.001)]
    assert errors[0] > errors[1] > errors[2] and errors[2] < 1e-6
    assert true.sort(dim=-1).values.tolist() == [[1, 2, 3, 4, 5, 6]] * 4


def test_at_the_target_approximate_ranks_have_no_error_once_cold(target):
    warm, cold = (adr_mse(target, target, EVERYONE, temperature=t) for t in (1.0, 1e-4))
    assert (warm > 0.1).all() and (cold < 1e-6).all()
    assert (approx_mrr(target, target, EVERYONE, temperature=1e-4) < 1e-6).all()


def test_lambda_weighs_a_pair_by_what_its_exchange_would_change():
    """Gains 1, 1/2, 1/3; the student has the worst first: the ideal is 1 + .5 / log2 3 + 1/3 / 2."""
    student, target = torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([[-1.0, -2.0, -3.0]])
    discount = [1 / math.log2(4), 1 / math.log2(3), 1.0]
    ideal = 1 + 0.5 / math.log2(3) + 1 / 6
    pairs = [(0, 1), (0, 2), (1, 2)]
    gains = [1, 1 / 2, 1 / 3]
    expected = [
        abs((gains[i] - gains[j]) * (discount[i] - discount[j])) / ideal * math.log(1 + math.exp(j - i))
        for i, j in pairs
    ]
    assert lambda_rank(student, target, target < 0).item() == pytest.approx(sum(expected) / 3)
