"""What every divergence promises, whatever it computes."""

from __future__ import annotations

import math

import pytest
import torch

from st_mta.distributions import masked_log_softmax
from st_mta.losses import ListwiseKLLoss
from st_mta.losses.divergences import DIVERGENCES
from tests import reference
from tests.losses.conftest import flat_batch
from tests.tiny import tiny_sentence_transformer

REFERENCES = {"kl": reference.kl, "reverse-kl": reference.reverse_kl, "jensen-shannon": reference.jensen_shannon}
# Of the student (3/4, 1/4) from the target (9/10, 1/10), whose mean is (.825, .175).
FORWARD = 0.9 * math.log(0.9 / 0.75) + 0.1 * math.log(0.1 / 0.25)
BACKWARD = 0.75 * math.log(0.75 / 0.9) + 0.25 * math.log(0.25 / 0.1)
TO_MEAN = 0.9 * math.log(0.9 / 0.825) + 0.1 * math.log(0.1 / 0.175)
FROM_MEAN = 0.75 * math.log(0.75 / 0.825) + 0.25 * math.log(0.25 / 0.175)
BY_HAND = {"kl": FORWARD, "reverse-kl": BACKWARD, "jensen-shannon": (TO_MEAN + FROM_MEAN) / 2}


@pytest.fixture(params=DIVERGENCES)
def word(request):
    return request.param


@pytest.fixture
def diverge(word):
    return DIVERGENCES[word]


@pytest.fixture
def mask():
    mask = torch.rand(6, 8, generator=torch.Generator().manual_seed(1)) > 0.3
    mask[0], mask[1], mask[2] = False, torch.arange(8) == 5, True
    return mask


@pytest.fixture
def student():
    return 3 * torch.randn(6, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def target(mask):
    scores = 3 * torch.randn(6, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return masked_log_softmax(scores, mask)


def test_equals_the_reference(word, diverge, student, target, mask):
    values = diverge(student, target, mask)
    assert values.shape == (6,) and values.dtype == torch.float64
    for row, value in enumerate(values):
        q = reference.softmax(student[row].tolist(), mask[row].tolist())
        assert value.item() == pytest.approx(REFERENCES[word](target[row].exp().tolist(), q), abs=1e-12)


def test_by_hand(word, diverge):
    logits, target = (torch.tensor([row], dtype=torch.float64) for row in ([math.log(3), 50.0, 0.0], [0.9, 0.0, 0.1]))
    value = diverge(logits, target.log(), torch.tensor([[True, False, True]]))
    assert value.item() == pytest.approx(BY_HAND[word])


def test_the_target_itself_has_none_and_all_else_some(diverge, student, target, mask):
    torch.testing.assert_close(diverge(target + 3, target, mask), torch.zeros(6, dtype=torch.float64))
    values = diverge(student, target, mask)
    assert (values[mask.sum(-1) >= 2] > 0.01).all() and (values[mask.sum(-1) < 2] == 0).all()


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_masked_candidates_have_no_influence_and_exactly_no_gradient(diverge, student, target, mask):
    expected = diverge(student, target, mask)
    for rubbish in (torch.nan, torch.inf, -torch.inf, 1e30):
        logits = student.masked_fill(~mask, rubbish).requires_grad_()
        with torch.autograd.detect_anomaly(check_nan=True):
            values = diverge(logits, target.masked_fill(~mask, rubbish), mask)
            values.sum().backward()
        torch.testing.assert_close(values, expected)
        assert (logits.grad[~mask] == 0).all() and (logits.grad[2] != 0).all()


def test_gradcheck(diverge, student, target, mask):
    assert torch.autograd.gradcheck(lambda logits: diverge(logits, target, mask), student.requires_grad_())


def test_following_its_gradient_leads_to_the_target(diverge, student, target, mask):
    logits = student.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.05)
    for _ in range(600):
        optimizer.zero_grad()
        diverge(logits, target, mask).sum().backward()
        optimizer.step()
    # Where the target has a thousandth of the mass, an error of a thousandth is none.
    assert (masked_log_softmax(logits, mask).exp() - target.exp()).abs().max() < 0.02


def test_the_order_of_candidates_does_not_matter(diverge, student, target, mask):
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    permuted = diverge(student[:, order], target[:, order], mask[:, order])
    torch.testing.assert_close(permuted, diverge(student, target, mask))


def test_adding_a_constant_to_the_student_changes_nothing(diverge, student, target, mask):
    shift = torch.tensor([[1.5], [-4.0], [10.0], [0.0], [100.0], [-100.0]])
    torch.testing.assert_close(diverge(student + shift, target, mask), diverge(student, target, mask))


def test_queries_do_not_touch_each_other_and_axes_before_the_last_are_free(diverge, student, target, mask):
    together = diverge(student, target, mask)
    alone = torch.stack([diverge(s, t, m) for s, t, m in zip(student, target, mask)])
    torch.testing.assert_close(alone, together)
    blocks = [one.unflatten(0, (2, 3)) for one in (student, target, mask)]
    torch.testing.assert_close(diverge(*blocks), together.unflatten(0, (2, 3)))


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_extreme_logits_have_finite_gradients(diverge, student, target, mask, scale):
    logits = (scale * student.float()).requires_grad_()
    values = diverge(logits, target.float(), mask)
    values.sum().backward()
    assert values.isfinite().all() and logits.grad.isfinite().all()


def test_half_precision_is_computed_in_float32(diverge, student, target, mask):
    half = diverge(student.bfloat16(), target.bfloat16(), mask)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, diverge(student.bfloat16().float(), target.bfloat16().float(), mask))


def test_it_is_the_loss_of_its_word(word, diverge, tiny_student):
    flat = flat_batch(0, scorers=1)
    by_word, by_function = (
        ListwiseKLLoss(tiny_student, scale=2.0, divergence=one).compute_loss_from_embeddings(
            flat.embeddings, flat.label
        )
        for one in (word, diverge)
    )
    assert by_word.item() == by_function.item() > 0
    assert ListwiseKLLoss(tiny_student, divergence=word).get_config_dict()["divergence"] == word


def test_under_autocast_the_loss_is_the_same(word, tiny_student):
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    loss = ListwiseKLLoss(tiny_student, scale=2.0, divergence=word)
    expected = loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == expected


@pytest.fixture(scope="module")
def tiny_student():
    return tiny_sentence_transformer(seed=1)
