"""What every objective promises, whatever it computes; and what those between distributions promise beyond it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from st_mta.distributions import masked_log_softmax
from st_mta.losses import DIVERGENCES, OBJECTIVES, ListwiseKLLoss
from st_mta.losses.objectives.chosen import OTHERS, POSITIVE, SCORES, choose
from tests import reference
from tests.losses.conftest import flat_batch
from tests.tiny import tiny_sentence_transformer

SIGMOID = {"scale": 1.3, "bias": -0.7}
OF_DISTRIBUTIONS = {
    "kl": reference.kl,
    "reverse-kl": reference.reverse_kl,
    "jensen-shannon": reference.jensen_shannon,
}
OF_LISTS = {
    "ranknet": reference.ranknet,
    "lambda": reference.lambda_rank,
    "adr-mse": reference.adr_mse,
    "approx-ndcg": reference.approx_ndcg,
    "approx-mrr": reference.approx_mrr,
    "pearson": reference.pearson_distance,
}
WITH_POSITIVES = {"margin-mse": reference.margin_mse_of_list, "plackett-luce": reference.plackett_luce}
OPTIONS = {
    "plackett-luce": [
        {"order": "positives-first", "weights": "confidence"},
        {"order": "negatives", "hardest": 4, "least": 0.15},
        {"order": "positives-first", "top": 2, "in_batch": True},
        {"order": "given", "weights": "confidence", "in_batch": True},
    ],
    "ranknet": [{"preferences": "soft"}, {"top": 2}, {"preferences": "soft", "top": 1}],
    "lambda": [{"weighting": "ndcg-loss2", "top": 2}, {"weighting": "ndcg-loss2++", "gains": "probability", "mu": 3}],
    "adr-mse": [{"temperature": 0.5}],
    "approx-ndcg": [{"temperature": 2.0, "gains": "probability"}],
    "approx-mrr": [{"temperature": 0.5}],
    "bce": [{"labels": "probabilities"}, {"in_batch": False}],
}
"""Beside the defaults; all are compared with the reference."""
SHORT = {"js": "jensen-shannon"}
WORDS = [word for word in OBJECTIVES if word not in SHORT]
CASES = [(word, options) for word in WORDS for options in [{}, *OPTIONS.get(word, [])]]
# Of the student (3/4, 1/4) from the target (9/10, 1/10), whose mean is (.825, .175); the first is the positive.
FORWARD = 0.9 * math.log(0.9 / 0.75) + 0.1 * math.log(0.1 / 0.25)
BACKWARD = 0.75 * math.log(0.75 / 0.9) + 0.25 * math.log(0.25 / 0.1)
TO_MEAN = 0.9 * math.log(0.9 / 0.825) + 0.1 * math.log(0.1 / 0.175)
FROM_MEAN = 0.75 * math.log(0.75 / 0.825) + 0.25 * math.log(0.25 / 0.175)
AHEAD = -math.log(0.75)  # sigmoid(log 3) = 3/4
CLOSER = 1 - 1 / math.log2(3)
IDEAL = 1 + 0.5 / math.log2(3)
BY_HAND = {
    "kl": FORWARD,
    "reverse-kl": BACKWARD,
    "jensen-shannon": (TO_MEAN + FROM_MEAN) / 2,
    "margin-mse": (math.log(3) - math.log(9)) ** 2,
    "plackett-luce": AHEAD,
    "ranknet": AHEAD,
    "lambda": 0.5 / IDEAL * CLOSER * AHEAD,
    "adr-mse": (0.25**2 / 1 + 0.25**2 / math.log2(3)) / 2,  # approximate ranks are 1.25 and 1.75
    "approx-ndcg": 1 - (1 / math.log2(2.25) + 0.5 / math.log2(2.75)) / IDEAL,
    "approx-mrr": 1 - 1 / 1.25,
    "pearson": 0.0,
    # scores (2, -1) and one document more with the logit 1, all times 1.3 less 0.7
    "bce": reference.binary_cross_entropy(
        [math.log(3), 0.0], [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(1))], [True, True], [1.0], **SIGMOID
    ),
}


def made(word, options=None):
    """The objective as a function, whatever it asks for beside its three arguments, in float64 where it learns."""
    options = dict(options or {}) | (SIGMOID if word == "bce" else {})
    chosen = choose(word, options)
    if word == "bce":
        weights = math.log(SIGMOID["scale"]), SIGMOID["bias"]
        for parameter, weight in zip(chosen.compute.double().parameters(), weights):
            parameter.data.fill_(weight)
    return chosen


def call(chosen, student, target, mask, positive, scores=None, others=None):
    scores = scores_of(target) if scores is None else scores
    given = {POSITIVE: positive, SCORES: scores, OTHERS: others or others_of(student)}
    return chosen.compute(student, target, mask, **{name: given[name] for name in chosen.asks})


def scores_of(target):
    """Raw scores of which the first batch has some outside of [0, 1]; by probabilities their sigmoid."""
    return 2 + target.nan_to_num(0, 0, -20).clamp(-20, 20)


def others_of(student):
    """Two documents more, the second of which does not count."""
    logits = torch.tensor([0.5, torch.nan], dtype=student.dtype).expand(*student.shape[:-1], 2)
    return logits, torch.tensor([True, False]).expand(logits.shape)


@pytest.fixture(params=WORDS)
def word(request):
    return request.param


@pytest.fixture(params=OF_DISTRIBUTIONS)
def divergence(request):
    return DIVERGENCES[request.param]


@pytest.fixture
def chosen(word):
    return made(word)


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


@pytest.fixture
def positive():
    """None, masked ones among them, one, and two."""
    positive = torch.rand(6, 8, generator=torch.Generator().manual_seed(4)) < 0.25
    positive[2], positive[3] = torch.arange(8) == 3, False
    return positive


def expected(word, options, student, target, mask, positive, scores):
    """By the reference, of one list."""
    if word in OF_DISTRIBUTIONS:
        return OF_DISTRIBUTIONS[word]([math.exp(t) for t in target], reference.softmax(student, mask))
    if word in OF_LISTS:
        return OF_LISTS[word](student, target, mask, **options)
    if word in WITH_POSITIVES:
        others = {"others": [0.5]} if word == "plackett-luce" else {}
        return WITH_POSITIVES[word](student, target, mask, positive, **others, **options)
    read = options.get("labels") == "probabilities"
    wanted = [min(1.0, max(0.0, s)) if read else 1 / (1 + math.exp(-s)) for s in scores]
    others = [0.5] if options.get("in_batch", True) else []
    return reference.binary_cross_entropy(student, wanted, mask, others, **SIGMOID)


@pytest.mark.parametrize(("word", "options"), CASES)
def test_equals_the_reference(word, options, student, target, mask, positive):
    chosen = made(word, options)
    scores = torch.sigmoid(scores_of(target)) if "labels" in options else scores_of(target)
    values = call(chosen, student, target, mask, positive, scores)
    assert values.shape == (6,) and values.dtype == torch.float64
    for row, value in enumerate(values):
        lists = [one[row].tolist() for one in (student, target, mask, positive, scores)]
        assert value.item() == pytest.approx(expected(word, options, *lists), abs=1e-12), row


def test_every_word_has_its_reference_and_its_value_by_hand():
    assert {*OF_DISTRIBUTIONS, *OF_LISTS, *WITH_POSITIVES, "bce"} == set(WORDS) == set(BY_HAND)
    assert all(OBJECTIVES[short] is OBJECTIVES[long] for short, long in SHORT.items())
    assert DIVERGENCES.keys() - SHORT == OF_DISTRIBUTIONS.keys()


def test_by_hand(word, chosen):
    rows = [[math.log(3), 50.0, 0.0], [0.9, 0.0, 0.1], [2.0, 7.0, -1.0]]
    logits, target, scores = (torch.tensor([row], dtype=torch.float64) for row in rows)
    mask, positive = torch.tensor([[True, False, True]]), torch.tensor([[True, False, False]])
    others = torch.tensor([[1.0]], dtype=torch.float64), torch.tensor([[True]])
    value = call(chosen, logits, target.log(), mask, positive, scores, others)
    assert value.item() == pytest.approx(BY_HAND[word], abs=1e-7)


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize(("word", "options"), CASES)
def test_masked_candidates_have_no_influence_and_exactly_no_gradient(word, options, student, target, mask, positive):
    chosen = made(word, options)
    scores = torch.sigmoid(scores_of(target)) if "labels" in options else scores_of(target)
    before = call(chosen, student, target, mask, positive, scores)
    for rubbish in (torch.nan, torch.inf, -torch.inf, 1e30):
        logits = student.masked_fill(~mask, rubbish).requires_grad_()
        further = (others_of(student)[0].clone().requires_grad_(), others_of(student)[1])
        with torch.autograd.detect_anomaly(check_nan=True):
            lists = (one.masked_fill(~mask, rubbish) for one in (target, scores))
            values = call(chosen, logits, next(lists), mask, positive | ~mask, next(lists), further)
            values.sum().backward()
        torch.testing.assert_close(values, before)
        assert (logits.grad[~mask] == 0).all() and logits.grad[2].abs().max() > 0
        assert further[0].grad is None or (further[0].grad[~further[1]] == 0).all()


@pytest.mark.parametrize(("word", "options"), CASES)
def test_gradcheck(word, options, student, target, mask, positive):
    chosen = made(word, options)
    scores = torch.sigmoid(scores_of(target)) if "labels" in options else scores_of(target)
    call(chosen, student, target, mask, positive, scores)  # so that nothing is settled meanwhile
    learned = list(chosen.compute.parameters()) if isinstance(chosen.compute, nn.Module) else []
    rows = slice(1, 5)
    assert torch.autograd.gradcheck(
        lambda logits, *_: call(chosen, logits, target[rows], mask[rows], positive[rows], scores[rows]),
        (student[rows].requires_grad_(), *learned),
        fast_mode=True,
    )


def test_lists_of_fewer_than_two_candidates_have_none(chosen, student, target, mask, positive, word):
    values = call(chosen, student, target, mask, positive)
    assert word == "bce" or (values[mask.sum(-1) < 2] == 0).all()
    assert (values[mask.sum(-1) >= 2] >= 0).all() and (values > 0.01).any()


def test_the_order_of_candidates_does_not_matter(chosen, student, target, mask, positive):
    order = torch.randperm(8, generator=torch.Generator().manual_seed(3))
    permuted = call(chosen, *(one[:, order] for one in (student, target, mask, positive)))
    torch.testing.assert_close(permuted, call(chosen, student, target, mask, positive))


def test_adding_a_constant_to_the_student_changes_nothing(word, chosen, student, target, mask, positive):
    shift = torch.tensor([[1.5], [-4.0], [10.0], [0.0], [100.0], [-100.0]])
    shifted = call(chosen, student + shift, target, mask, positive)
    same = torch.isclose(shifted, call(chosen, student, target, mask, positive))
    assert same.all() != (word == "bce")  # which says of each pair whether it is relevant


def test_queries_do_not_touch_each_other_and_axes_before_the_last_are_free(chosen, student, target, mask, positive):
    together = call(chosen, student, target, mask, positive)
    lists = (student, target, mask, positive)
    alone = torch.stack([call(chosen, *one) for one in zip(*lists)])
    torch.testing.assert_close(alone, together)
    blocks = [one.unflatten(0, (2, 3)) for one in lists]
    torch.testing.assert_close(call(chosen, *blocks), together.unflatten(0, (2, 3)))


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_extreme_logits_have_finite_gradients(chosen, student, target, mask, positive, scale):
    logits = (scale * student.float()).requires_grad_()
    values = call(chosen, logits, target.float(), mask, positive)
    values.sum().backward()
    assert values.isfinite().all() and logits.grad.isfinite().all()


def test_candidates_that_a_target_rules_out_leave_it_finite(word, chosen, student, target, mask, positive):
    target = torch.where(torch.arange(8) == 1, -torch.inf, target)
    logits = student.clone().requires_grad_()
    values = call(chosen, logits, target, mask, positive)
    values.sum().backward()
    assert word == "reverse-kl" or (values.isfinite().all() and logits.grad.isfinite().all())
    if word in ("margin-mse", "pearson"):  # which would otherwise look at nothing but this candidate
        without = call(chosen, student, target, mask & (torch.arange(8) != 1), positive)
        torch.testing.assert_close(values, without)


def test_half_precision_is_computed_in_float32(word, student, target, mask, positive):
    chosen = choose(word, SIGMOID if word == "bce" else {})
    scores = torch.arange(-8, 40).reshape(6, 8) / 8
    half = call(chosen, student.bfloat16(), target.bfloat16(), mask, positive, scores.bfloat16())
    assert half.dtype == torch.float32
    wide = call(chosen, student.bfloat16().float(), target.bfloat16().float(), mask, positive, scores)
    torch.testing.assert_close(half, wide)


def test_it_is_the_loss_of_its_word(word, tiny_student):
    flat = flat_batch(0, scorers=1)
    by_word, by_function = (
        ListwiseKLLoss(tiny_student, scale=2.0, objective=one).compute_loss_from_embeddings(
            flat.embeddings, flat.label
        )
        for one in (word.replace("-", "_"), OBJECTIVES[word])
    )
    assert by_word.item() == by_function.item() > 0
    assert ListwiseKLLoss(tiny_student, objective=word).get_config_dict()["objective"] == word


def test_under_autocast_the_loss_is_the_same(word, tiny_student):
    flat = flat_batch(0, dim=64, dtype=torch.float32)
    loss = ListwiseKLLoss(tiny_student, scale=2.0, objective=word)
    before = loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item()
    with torch.autocast("cpu", torch.bfloat16):
        assert loss.compute_loss_from_embeddings(flat.embeddings, flat.label).item() == before


# --- those between distributions, and others that want no more than the target ------------------------------------


NO_GRADIENT_AT_THE_TARGET = [*OF_DISTRIBUTIONS, "margin-mse", "pearson", "soft ranknet"]


@pytest.mark.parametrize("word", NO_GRADIENT_AT_THE_TARGET)
def test_the_target_itself_has_no_value_and_no_gradient(word, student, target, mask, positive):
    kind, _, name = word.rpartition(" ")
    chosen = made(name, {"preferences": "soft"} if kind else {})
    logits = (target + 3).requires_grad_()
    values = call(chosen, logits, target, mask, positive)
    values.sum().backward()
    torch.testing.assert_close(values, torch.zeros(6, dtype=torch.float64))
    torch.testing.assert_close(logits.grad, torch.zeros(6, 8, dtype=torch.float64))
    assert (call(chosen, student, target, mask, positive)[mask.sum(-1) >= 2] > 0.01).all()


def test_following_its_gradient_leads_to_the_target(divergence, student, target, mask):
    logits = student.clone().requires_grad_()
    optimizer = torch.optim.Adam([logits], lr=0.1)
    for _ in range(250):
        optimizer.zero_grad()
        divergence(logits, target, mask).sum().backward()
        optimizer.step()
    # Where the target has a thousandth of the mass, an error of a thousandth is none.
    assert (masked_log_softmax(logits, mask).exp() - target.exp()).abs().max() < 0.02


@pytest.fixture(scope="module")
def tiny_student():
    return tiny_sentence_transformer(seed=1)
